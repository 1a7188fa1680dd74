"""Scenes made by hand, and computed by the layers themselves."""

import numpy as np

from koubai.graph.picture.scene import Amount, Edge, Place, Scene
from koubai.graph.picture.symbols import symbol_of
from koubai.layers import Affine, SoftmaxWithLoss

FEW = 20


def amount(value):
    """Give the amount of a Python number or of an array; of a large one without its numbers."""
    if type(value) in (int, float):
        return Amount(repr(value), numbers=value)
    value = np.asarray(value)
    shape, dtype = value.shape, value.dtype.name
    if value.size > FEW:
        detail = f"norm {np.linalg.norm(value):.4g}, {value.min():.4g} to {value.max():.4g}"
        return Amount(f"{dtype} {shape}", detail, shape, dtype)
    text = repr(value.item()) if not shape else _few_digits(value.tolist())
    return Amount(text, shape=shape, dtype=dtype, numbers=value.tolist())


def _few_digits(nested):
    if isinstance(nested, list):
        return f"[{', '.join(map(_few_digits, nested))}]"
    return f"{nested:.4g}"


def given(key, value, name="", kind="input", gradient=None):
    total = None if gradient is None else amount(gradient)
    return Place(key, kind, name or key, amount(value), name=name, gradient=total)


def operation(key, layer, value, gradient=1, *, name="", settings=None, kind=None):
    symbol = symbol_of(layer)
    return Place(
        key,
        kind or ("operation" if symbol.sign else "layer"),
        symbol.sign or layer,
        amount(value),
        layer=layer,
        name=name,
        gradient=None if gradient is None else amount(gradient),
        settings=settings or {},
        formula=symbol.formula,
    )


def edge(source, target, slot, gradient, layer=None):
    rules = symbol_of(layer).rules if layer else ()
    rule = rules[slot] if slot < len(rules) else ""
    return Edge(source, target, slot, None if gradient is None else amount(gradient), rule)


def scene(places, edges, title="A graph"):
    return Scene(tuple(places), tuple(edges), places[-1].key, title, f"{title}, for the tests.")


def apple(name="apple"):
    """Two apples of 100 yen, and the tax (the book, section 5.1)."""
    total, price = 100 * 2, 100 * 2 * 1.1
    places = (
        given("n0", 100, name, gradient=1.1 * 2),
        given("n1", 2, "apple_num", gradient=1.1 * 100),
        given("n2", 1.1, "tax", gradient=200),
        operation("n3", "MulLayer", total, 1.1, name="apple_total"),
        operation("n4", "MulLayer", price, 1, name="price"),
    )
    edges = (
        edge("n0", "n3", 0, 1.1 * 2, "MulLayer"),
        edge("n1", "n3", 1, 1.1 * 100, "MulLayer"),
        edge("n3", "n4", 0, 1.1, "MulLayer"),
        edge("n2", "n4", 1, 200, "MulLayer"),
    )
    return scene(places, edges, "Buying apples")


def apple_and_orange():
    """Two apples and three oranges, and the tax (the book, section 5.4.2)."""
    places = (
        given("n0", 100, "apple", gradient=1.1 * 2),
        given("n1", 2, "apple_num", gradient=1.1 * 100),
        given("n2", 150, "orange", gradient=1.1 * 3),
        given("n3", 3, "orange_num", gradient=1.1 * 150),
        given("n4", 1.1, "tax", gradient=650),
        operation("n5", "MulLayer", 200, 1.1),
        operation("n6", "MulLayer", 450, 1.1),
        operation("n7", "AddLayer", 650, 1.1),
        operation("n8", "MulLayer", 650 * 1.1, 1, name="price"),
    )
    edges = (
        edge("n0", "n5", 0, 1.1 * 2, "MulLayer"),
        edge("n1", "n5", 1, 1.1 * 100, "MulLayer"),
        edge("n2", "n6", 0, 1.1 * 3, "MulLayer"),
        edge("n3", "n6", 1, 1.1 * 150, "MulLayer"),
        edge("n5", "n7", 0, 1.1, "AddLayer"),
        edge("n6", "n7", 1, 1.1, "AddLayer"),
        edge("n7", "n8", 0, 1.1, "MulLayer"),
        edge("n4", "n8", 1, 650, "MulLayer"),
    )
    return scene(places, edges, "Buying apples and oranges")


def used_twice(x=3.0):
    """A number that is used twice: z = x * x + x * 2."""
    places = (
        given("n0", x, "x", gradient=x + x + 2),
        given("n1", 2, "", "constant"),
        operation("n2", "MulLayer", x * x, 1),
        operation("n3", "MulLayer", x * 2, 1),
        operation("n4", "AddLayer", x * x + x * 2, 1, name="z"),
    )
    edges = (
        edge("n0", "n2", 0, x, "MulLayer"),
        edge("n0", "n2", 1, x, "MulLayer"),
        edge("n0", "n3", 0, 2, "MulLayer"),
        edge("n1", "n3", 1, None, "MulLayer"),
        edge("n2", "n4", 0, 1, "AddLayer"),
        edge("n3", "n4", 1, 1, "AddLayer"),
    )
    return scene(places, edges, "A number used twice")


def network(inputs=3, outputs=4, samples=2, seed=0):
    """Affine and SoftmaxWithLoss on some samples."""
    draw = np.random.default_rng(seed)
    shapes = ((samples, inputs), (inputs, outputs), outputs)
    x, W, b = (draw.normal(size=shape).round(2) for shape in shapes)
    t = draw.integers(0, outputs, samples)
    affine, loss = Affine(W, b), SoftmaxWithLoss()
    a = affine.forward(x)
    value = loss.forward(a, t)
    da = loss.backward()
    dx = affine.backward(da)
    places = (
        given("n0", x, "x", gradient=dx),
        given("n1", W, "W", "parameter", affine.dW),
        given("n2", b, "b", "parameter", affine.db),
        given("n3", t, "t", "constant"),
        operation("n4", "Affine", a, da, name="a"),
        operation("n5", "SoftmaxWithLoss", value, 1.0, name="loss"),
    )
    edges = (
        edge("n0", "n4", 0, dx, "Affine"),
        edge("n1", "n4", 1, affine.dW, "Affine"),
        edge("n2", "n4", 2, affine.db, "Affine"),
        edge("n4", "n5", 0, da, "SoftmaxWithLoss"),
        edge("n3", "n5", 1, None, "SoftmaxWithLoss"),
    )
    return scene(places, edges, f"A network of {inputs} inputs")
