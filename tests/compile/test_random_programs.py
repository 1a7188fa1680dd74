"""Programs drawn at random give what they give when they run as they are written."""

import random
from importlib import import_module

import numpy as np
import pytest

import koubai
from koubai.compile import blas
from koubai.compile.recorded import RecordedFunction

# Small, wide, with short rows, and large enough for blocks of rows.
SIZES = [(3, 4, 5), (40, 8, 6), (64, 60, 50), (70, 20, 300), (600, 300, 40), (300, 600, 30)]
SIZES += [(1500, 300, 8), (128, 16, 1024)]  # products of few terms
UNARY = ["xp.exp({a})", "xp.tanh({a})", "xp.abs({a})", "-{a}", "xp.square({a})"]
UNARY += ["xp.maximum({a}, 0.0)", "xp.minimum({a}, 0.5)"]
BINARY = [
    "({a} + {b})",
    "({a} * {b})",
    "({a} - {b})",
    "xp.maximum({a}, {b})",
    "({a} / (xp.abs({b}) + 1.0))",
]
TESTS = ["({a} <= 0)", "({b} > {a})", "({a} == 0)"]
CHOICES = [f"xp.where({{test}}, {first}, {{b}})" for first in ("0.0", "{a}", "1.5")]
UPDATES = ["{old} - 0.1 * {new}", "{new}", "0.9 * {old} - 0.1 * {new}"]


@pytest.mark.parametrize("products", ["BLAS", "NumPy alone", "PyTorch"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("seed", range(12))
def test_program_gives_the_same_compiled(monkeypatch, seed, size, products):
    if products == "NumPy alone":
        monkeypatch.setattr(blas, "available", lambda: False)
    elif products == "PyTorch":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    text, function = program(random.Random(f"{seed} {size}"), *size)
    rng = np.random.default_rng(seed)
    n, m, k = size
    y, c, r = (rng.standard_normal(shape) for shape in ((n, m), (n, 1), (m,)))
    y[1::2] = 0
    state = {"w": rng.standard_normal((m, k)), "x": rng.standard_normal((n, m))}
    compiled_state = {name: array.copy() for name, array in state.items()}
    by = import_module("koubai_torch.products") if products == "PyTorch" else blas
    compiled = RecordedFunction(function, products=by)
    with np.errstate(all="ignore"):
        for _ in range(3):
            state, wanted = function(state, y, c, r)
            compiled_state, found = compiled(compiled_state, y, c, r)
            wanted += (state["w"], state["x"])
            found += (compiled_state["w"], compiled_state["x"])
            for one, other in zip(wanted, found, strict=True):
                assert one.shape == other.shape
                scale = np.max(np.abs(one[np.isfinite(one)]), initial=1.0)
                np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-9 * scale, err_msg=text)


def program(draw, n, m, k):
    """Write a function of (state, y, c, r) that calls two dozen standard functions."""
    shapes = {"x": (n, m), "y": (n, m), "w": (m, k), "c": (n, 1), "r": (m,)}
    lines = ["def function(state, y, c, r):", "    xp = koubai.array_namespace(y)"]
    lines += ["    w, x = state['w'], state['x']"]
    for number in range(24):
        text, shape = line(draw, shapes)
        if text:
            lines.append(f"    t{number} = {text}")
            shapes[f"t{number}"] = shape
    outputs = [name for name in shapes if name.startswith("t")][-4:]
    news = [name for name in shapes if shapes[name] == (n, m) and name != "x"]
    update = draw.choice(UPDATES).format(old="x", new=draw.choice(news))
    lines.append(f"    return dict(state, x={update}), ({', '.join(outputs)},)")
    known = {"koubai": koubai}
    text = "\n".join(lines)
    exec(text, known)
    return text, known["function"]


def line(draw, shapes):  # noqa: PLR0911  (a table of kinds)
    """Draw one call, and tell the shape of its result."""
    a, b = (draw.choice(list(shapes)) for _ in range(2))
    kind = draw.choice(["unary", "binary", "binary", "where", "along", "matmul", "view"])
    same = [name for name in shapes if shapes[name] == shapes[a]]
    if kind == "unary":
        return draw.choice(UNARY).format(a=f"xp.minimum({a}, 3.0)"), shapes[a]
    if kind == "binary" and fits(shapes[a], shapes[b]):
        shape = np.broadcast_shapes(shapes[a], shapes[b])
        return draw.choice(BINARY).format(a=a, b=b), shape
    if kind == "where":
        b = draw.choice(same)
        # Of given numbers only: sums in another order may differ in the sign of nothing.
        given = [name for name in ("x", "y", "w", "c", "r") if shapes[name] == shapes[a]]
        if not given:
            return "", ()
        test = draw.choice(TESTS).format(a=draw.choice(given), b=draw.choice(given))
        return draw.choice(CHOICES).format(test=test, a=a, b=b), shapes[a]
    if kind == "along" and len(shapes[a]) == 2:
        name, axis, keep = (draw.choice(c) for c in (["sum", "max", "mean"], [0, 1], [True, False]))
        shape = np.sum(np.zeros(shapes[a]), axis=axis, keepdims=keep).shape
        return f"xp.{name}({a}, axis={axis}, keepdims={keep})", shape
    if kind == "matmul" and len(shapes[a]) == len(shapes[b]) == 2 and shapes[a][1] == shapes[b][0]:
        return f"(0.1 * xp.matmul({a}, {b}))", (shapes[a][0], shapes[b][1])
    if kind == "view" and len(shapes[a]) == 2:
        n, m = shapes[a]
        if m % 2 == 0 and draw.random() < 0.5:
            return f"xp.reshape({a}, ({n}, {m // 2}, 2))", (n, m // 2, 2)
        return f"{a}.T", (m, n)
    if kind == "view" and len(shapes[a]) == 3:
        n, m, k = shapes[a]
        return f"xp.reshape({a}, ({n}, {m * k}))", (n, m * k)
    return "", ()


def fits(one, other):
    """Tell whether two shapes broadcast together."""
    try:
        np.broadcast_shapes(one, other)
    except ValueError:
        return False
    return True
