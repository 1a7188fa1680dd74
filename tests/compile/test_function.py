"""koubai.compile: pure functions of arrays, the functions of the standard among them."""

from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import koubai
from koubai import Network, TwoLayerNet, to_numpy
from koubai.compile.replay import Replay
from koubai.errors import KoubaiError, MixedArraysError, NotAnArrayError

# What comes out

Pair = namedtuple("Pair", ["total", "part"])  # noqa: PYI024  (what a reader would write)
FORMS = {
    "array": lambda xp, x: x * 2,
    "tuple": lambda xp, x: (x + 1, x * 2),
    "one in a tuple": lambda xp, x: (x + 1,),
    "list": lambda xp, x: [x + 1, xp.sum(x)],
    "dict": lambda xp, x: {"a": x + 1, "b": xp.max(x, axis=0)},
    "nested": lambda xp, x: {"a": [x + 1, (x, None)], "b": {"c": xp.sum(x)}, "d": ()},
    "nothing": lambda xp, x: None,
    "the input": lambda xp, x: x,
    "twice the same": lambda xp, x: (y := x * 2, y, y[0, ...]),
    "views": lambda xp, x: (x.T, x[1:, :], xp.reshape(x, (12,)), (x * 2).T),
    "booleans": lambda xp, x: (x > 0, xp.any(x > 0), xp.all(x > 0, axis=1)),
    "numbers": lambda xp, x: (xp.sum(x), xp.mean(x), x[0, 0]),
}


@pytest.mark.parametrize("form", FORMS)
def test_result_has_the_form_that_the_function_gives(place, form):
    def function(x):
        return FORMS[form](koubai.array_namespace(x), x)

    compiled = koubai.compile(function)
    for seed in range(3):
        x = normal(place, (3, 4), seed)
        assert_same(compiled(x), function(x))


def test_named_tuple_stays_one(place):
    compiled = koubai.compile(lambda x: Pair(x + 1, part=x * 2))
    for seed in range(2):
        x = normal(place, (3, 4), seed)
        found = compiled(x)
        assert type(found) is Pair
        assert_same(found.part, x * 2)


@pytest.mark.parametrize("form", ["the input", "views", "nested", "twice the same"])
def test_result_stays_and_is_no_input(place, form):
    compiled = koubai.compile(lambda x: FORMS[form](koubai.array_namespace(x), x))
    x = normal(place, (3, 4))
    found = [compiled(x)]
    then = [to_numpy(a).tolist() for a in arrays_in(found)]
    compiled(x * 2)
    if place.backend.name != "jax":  # whose arrays never change
        x[...] = 7.0
    assert [to_numpy(a).tolist() for a in arrays_in(found)] == then


def test_result_may_be_written_to():
    x = np.ones((3, 4))
    compiled = koubai.compile(lambda x: (x, x.T, x[1:], np.broadcast_to(x[:1], (5, 4))))
    for array in compiled(x):
        array[...] = 5.0
    assert (x == 1).all()
    assert (compiled(x)[0] == 1).all()


# What goes in


def test_numbers_are_taken_anew_at_each_call(place):
    compiled = koubai.compile(lambda x, a, n: (x * a + n, x**n))
    x = normal(place, (3, 4))
    for a, n in [(2.0, 2), (0.5, 2), (-1.0, 3), (1, 2)]:
        assert_same(compiled(x, a, n), (x * a + n, x**n))


def test_number_of_numpy_keeps_its_dtype():
    compiled = koubai.compile(lambda x, a: x * a)
    x = np.ones(3, np.float32)
    for a in (np.float64(2), np.float32(2), 2.0, np.float64(3)):
        assert_same(compiled(x, a), x * a)


def test_new_shapes_and_dtypes_make_records_beside_each_other(recorder):
    calls = []

    def function(x):
        calls.append(x.shape)
        return x * 2

    compiled = koubai.compile(function)
    for _ in range(2):
        for n in (3, 4, 5):
            x = normal(recorder, (n, 2))
            assert_same(compiled(x), x * 2)
    assert len(calls) == 3
    assert_same(compiled(recorder.asarray([1, 2])), recorder.asarray([2, 4]))
    for n in range(1, 12):
        compiled(normal(recorder, (n, 2)))
    assert len(compiled._records) == 8


def test_constants_are_taken_from_elsewhere(place):
    W, b = normal(place, (4, 3), 5), normal(place, (3,), 6)
    turned = normal(place, (3, 4), 7)
    compiled = koubai.compile(lambda x: x @ W + b + x @ turned.T)
    for seed in range(2):
        x = normal(place, (5, 4), seed)
        assert_same(compiled(x), x @ W + b + x @ turned.T)


def test_input_may_be_handed_over_twice(place):
    compiled = koubai.compile(lambda x, y: (x * y, x - y))
    x = normal(place, (3, 4))
    assert_same(compiled(x, x), (x * x, x - x))
    assert_same(compiled(x, x + 1), (x * (x + 1), x - (x + 1)))


def test_inputs_of_any_layout():
    compiled = koubai.compile(lambda x: (x @ x.T, x + 1, np.sum(x, axis=0)))
    x = np.random.default_rng(0).standard_normal((6, 6))
    unwritable = x.copy()
    unwritable.flags.writeable = False
    for lying in (x, x.T, x[::-1], x[:, ::-1], np.repeat(x, 2, 1)[:, ::2], unwritable, x.copy("F")):
        assert_same(compiled(lying), (lying @ lying.T, lying + 1, np.sum(lying, axis=0)))


def test_what_is_no_function_or_no_array_is_refused():
    with pytest.raises(KoubaiError, match="no function"):
        koubai.compile(3)
    with pytest.raises(NotAnArrayError, match="no array among the arguments"):
        koubai.compile(lambda x: x)(3.0)


def test_arrays_of_two_libraries_are_refused(place):
    if place.backend.name == "numpy":
        pytest.skip("NumPy is the host")
    with pytest.raises(MixedArraysError):
        koubai.compile(lambda x, y: x + y)(normal(place, (3,)), np.ones(3))


def test_compiled_function_may_call_another(place):
    inner = koubai.compile(lambda x: x * 2)
    outer = koubai.compile(lambda x: inner(x) + 1)
    x = normal(place, (3, 4))
    assert_same(outer(x), x * 2 + 1)


def test_name_and_docstring_are_those_of_the_function():
    def function(x):
        """Double it."""
        return x * 2

    compiled = koubai.compile(function)
    assert compiled.__name__ == "function"
    assert compiled.__doc__ == "Double it."
    assert "function" in repr(compiled)


# Methods of a network


def test_predict_takes_the_parameters_as_they_are(place):
    net = small(place)
    predict = koubai.compile(net.predict)
    x = normal(place, (5, 4))
    for change in (1.0, 0.5, 2.0):
        net.params["W1"] = net.params["W1"] * change
        assert_same(predict(x), net.predict(x))
    step = koubai.compile_step(net, koubai.SGD(0.5))
    for _ in range(3):
        step(x, place.asarray([0, 1, 2, 0, 1]))
        assert_same(predict(x), net.predict(x))
    assert_same(predict(x[:2, ...]), net.predict(x[:2, ...]))


def test_predict_follows_its_network_to_another_device(place):
    net = small(koubai.device("cpu"))
    predict = koubai.compile(net.predict)
    for home in (koubai.device("cpu"), place, koubai.device("cpu")):
        x = normal(home, (5, 4))
        net.to(home)
        assert_same(predict(x), net.predict(x))


def test_predict_refuses_what_lies_elsewhere(place):
    if place.backend.name == "numpy":
        pytest.skip("NumPy is the host")
    with pytest.raises(MixedArraysError):
        koubai.compile(small(place).predict)(np.ones((2, 4), np.float32))
    with pytest.raises(MixedArraysError):
        koubai.compile(small(koubai.device("cpu")).predict)(normal(place, (2, 4)))


@pytest.mark.parametrize("method", ["loss", "gradient"])
def test_loss_and_gradient_compile(place, method):
    net = small(place)
    x, t = normal(place, (5, 4)), place.asarray([0, 1, 2, 0, 1])
    assert_same(koubai.compile(getattr(net, method))(x, t), getattr(net, method)(x, t))


def test_predict_sees_a_switch_that_was_turned(place):
    class Halved:
        training = True

        def __init__(self):
            self.training = True

        def forward(self, x):
            return x * 0.5 if self.training else x

        def backward(self, dout):
            return dout

    net = Network([*small(place).layers.values(), Halved()])
    predict, x = koubai.compile(net.predict), normal(place, (5, 4))
    for training in (True, False, True):
        net.layers["Halved1"].training = training
        assert_same(predict(x), net.predict(x))


# The functions of the standard

UNARY = [
    "abs acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh exp expm1 floor",
    "isfinite isinf isnan log log1p log2 log10 logical_not negative positive real imag",
    "reciprocal round sign signbit sin sinh sqrt square tan tanh trunc",
]
BINARY = [
    "add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor",
    "copysign divide equal floor_divide greater greater_equal hypot less less_equal logaddexp",
    "logical_and logical_or logical_xor maximum minimum multiply nextafter not_equal pow",
    "remainder subtract",
]
INTEGERS = {"bitwise_invert", *(name for name in " ".join(BINARY).split() if "bitwise" in name)}
LOGICAL = {"logical_not", "logical_and", "logical_or", "logical_xor"}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", [n for n in " ".join(UNARY).split() if hasattr(np, n)])
def test_function_of_an_element(name):
    function = getattr(np, name)
    compiled = koubai.compile(lambda x: (function(x), function(x * 1)))
    for x in operands(name):
        assert_same(compiled(x), (function(x), function(x * 1)))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", [n for n in " ".join(BINARY).split() if hasattr(np, n)])
def test_function_of_two_elements(name):
    function = getattr(np, name)

    for x in operands(name):
        y = x[::-1].copy() if x.dtype == bool else (np.abs(x[::-1]) % 5).astype(x.dtype)
        number = True if x.dtype == bool else 1
        compiled = koubai.compile(
            lambda x, y, n=number: (function(x, y), function(x, y[:1]), function(x, n))
        )
        assert_same(compiled(x, y), (function(x, y), function(x, y[:1]), function(x, number)))


EXPRESSIONS = {
    "operators": lambda x, y: (x + y, x - 2, 3 * x, x / y, 1 / y, x**2, -x, abs(x), +x, x // y),
    "more operators": lambda x, y: (x % y, 5 % y, 5 // y, 2**x, x > y, x <= 0, x == y, x != 1),
    "booleans": lambda x, y: ((x > 0) & (y > 0), (x > 0) | (y < 0), ~(x > 0), (x > 0) ^ (y > 0)),
    "sum": lambda x, y: (np.sum(x), np.sum(x, axis=0), np.sum(x, axis=1, keepdims=True)),
    "sum of products": lambda x, y: (np.sum(x * y), np.sum(x * x), np.sum(x.T * y.T, axis=0)),
    "sum along several axes": lambda x, y: (np.sum(cube(x), axis=(0, 2)), np.sum(cube(x), axis=-2)),
    "sum of integers": lambda x, y: (np.sum(x > 0), np.sum(x > 0, axis=0), np.sum(x, dtype=int)),
    "sum of a number": lambda x, y: np.sum(np.sum(x)),
    "sum along no axis": lambda x, y: np.sum(x, axis=()),
    "extremes": lambda x, y: (np.max(x), np.min(x, axis=1), np.max(x, axis=0, keepdims=True)),
    "prod": lambda x, y: (np.prod(x, axis=0), np.prod(x)),
    "any, all": lambda x, y: (np.any(x > 0), np.all(x > 0, axis=1), np.any(x > 9, axis=0)),
    "mean": lambda x, y: (np.mean(x), np.mean(x, axis=1), np.mean(cube(x), axis=(0, 1))),
    "deviation": lambda x, y: (np.std(x, axis=0), np.var(x, correction=1), np.var(x, axis=1)),
    "reshape": lambda x, y: (
        np.reshape(x, (8, 3)),
        np.reshape(x * 2, (-1,)),
        np.reshape(x.T, (24,)),
    ),
    "transposes": lambda x, y: (x.T, np.permute_dims(cube(x), (2, 0, 1)), cube(x).mT, (x * 2).T),
    "move axes": lambda x, y: (
        np.moveaxis(cube(x), 0, -1),
        np.matrix_transpose(x),
        np.swapaxes(x, 0, 1),
    ),
    "expand, squeeze": lambda x, y: (np.expand_dims(x, axis=1), np.squeeze(x[:1], axis=0), x[None]),
    "broadcast": lambda x, y: (
        np.broadcast_to(x[:1] * 2, (5, 6)),
        np.broadcast_to(x, (2, 4, 6)) + 1,
    ),
    "concat": lambda x, y: (
        np.concat([x, y]),
        np.concat((x, y), axis=1),
        np.stack([x, y], axis=-1),
    ),
    "flip, roll": lambda x, y: (
        np.flip(x),
        np.roll(x, 1, axis=0),
        np.tile(x, (2, 1)),
        np.repeat(x, 2),
    ),
    "unstack": lambda x, y: np.unstack(x)[1],
    "clip": lambda x, y: (np.clip(x, -0.5, 0.5), np.clip(x, None, 0), np.clip(x, y, 1.0)),
    "where": lambda x, y: (np.where(x > 0, x, y), np.where(x > 0, 1.0, x), np.where(x > 0, x, 0)),
    "where of numbers": lambda x, y: (np.where(x > 0, 1.0, 0.0), np.where(x > 0, 1, -1)),
    "where that broadcasts": lambda x, y: (
        np.where(x[:1] > 0, x, y),
        np.where(x > 0, x[:, :1], 2.0),
    ),
    "matmul": lambda x, y: (x @ y.T, np.matmul(x.T, y), x @ y[0], x[0] @ y.T, x[0] @ y[0]),
    "matmul of stacks": lambda x, y: (
        cube(x) @ cube(y).mT,
        cube(x) @ np.reshape(y, (6, 4)),
        x.T @ y,
    ),
    "products": lambda x, y: (
        np.tensordot(x, y.T, axes=1),
        np.vecdot(x, y),
        np.einsum("ij,ij->i", x, y),
    ),
    "product and sum": lambda x, y: (
        y @ y.T - 0.1 * (x @ x.T),
        x + 2 * (x @ y.T @ y),
        x[0] + y[1] @ x.T @ x,
    ),
    "product of parts": lambda x, y: (
        x[1:] @ y.T + 1 + x[:3] @ y.T,
        (x @ x.T)[:, 1:] + x @ y[1:].T,
    ),
    "part of an input": lambda x, y: (y @ y.T)[:3] + x[1:, :] @ y.T,
    "product of a broadcast": lambda x, y: x @ x.T + np.broadcast_to(y[:1], (4, 6)) @ x.T,
    "indices": lambda x, y: (x[0], x[-1, 2:], x[..., 1], x[::2, ::-1], x[1:3][:, None], x[0, 0]),
    "numpy's integer": lambda x, y: (x[np.int64(1)], x[np.int64(1), ...], x[:, np.int64(2)]),
    "indices of what was computed": lambda x, y: ((x * 2)[1:], (x * 2)[::-1] + x, (x * 2)[:, -1]),
    "list as index": lambda x, y: x[[0, 2]] + 0,
    "list as index of what was computed": lambda x, y: (x * 2)[[2, 0]] * 1.0,
    "sort": lambda x, y: (np.sort(x, axis=0), np.argsort(x, axis=1), np.argmax(x, axis=1)),
    "cumulate": lambda x, y: (np.cumulative_sum(x, axis=0), np.cumulative_prod(x, axis=1)),
    "astype": lambda x, y: (
        np.astype(x, np.float32),
        np.astype(x, np.int64),
        np.astype(x > 0, x.dtype),
    ),
    "made like": lambda x, y: (np.zeros_like(x) + x, np.ones_like(x), np.full_like(x, 2.0) * y),
    "triangles": lambda x, y: (np.tril(x), np.triu(x, k=1), np.diff(x, axis=0)),
    "norm": lambda x, y: (np.linalg.vector_norm(x), np.linalg.matrix_norm(x)),
    "old norm": lambda x, y: np.linalg.norm(x, axis=1),
    "diagonal": lambda x, y: np.linalg.diagonal(cube(x)),
    "trace": lambda x, y: np.linalg.trace(cube(x)),
    "length": lambda x, y: x / len(x),
    "in place": lambda x, y: double_in_place(x * 1.0),
    "nan": lambda x, y: 0.0 * (x / 0.0) + x @ y.T @ y,
}


def cube(x):
    return np.reshape(x, (2, 2, 6))


def double_in_place(y):
    same = y
    y *= 2.0
    y += 1.0
    return same + y


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_expression_gives_what_numpy_gives(name, dtype):
    needed = {"unstack": "unstack", "cumulate": "cumulative_sum"}.get(name, "add")
    if not hasattr(np, needed):
        pytest.skip(f"NumPy {np.__version__} has no {needed}")
    function = EXPRESSIONS[name]
    compiled = koubai.compile(function)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x, y = (rng.standard_normal((4, 6)).astype(dtype) for _ in range(2))
        assert_same(compiled(x, y), function(x, y))


TAKES = {
    "rows": lambda x, i: np.take(x, i, axis=0),
    "columns": lambda x, i: np.take(x * 2, i, axis=1),
    "index": lambda x, i: x[i],
    "index in a tuple": lambda x, i: x[i,],
    "of a vector": lambda x, i: np.take(x[0] * 1.0, i),
    "many": lambda x, i: np.take(x, np.reshape(i, (2, 2)), axis=0),
    "shifted": lambda x, i: np.take(x, np.minimum(np.maximum(i, 0), 2) + 1, axis=0),
}


@pytest.mark.parametrize("name", TAKES)
@pytest.mark.parametrize("indices", [[0, 3, 1, 1], [-1, 0, -4, 2]], ids=str)
@pytest.mark.parametrize("kind", ["int64", "int8"])
def test_look_up_gives_what_numpy_gives(name, indices, kind):
    function = TAKES[name]
    x = np.random.default_rng(0).standard_normal((4, 6))
    i = np.asarray(indices, dtype=kind)
    assert_same(koubai.compile(function)(x, i), function(x, i))


INTEGER_EXPRESSIONS = {
    "arithmetic": lambda x: (x + 1, x * 2, x // 2, x % 3, x**2, -x, abs(x), x / 2, x - 0.5),
    "relu": lambda x: (x <= 0, np.maximum(x, 0)),
    "sums": lambda x: (np.sum(x), np.sum(x, axis=0), np.mean(x), np.prod(x), np.max(x)),
    "where": lambda x: (np.where(x > 0, x, 0), np.where(x > 0, x, 0.5)),
    "bits": lambda x: (x & 3, x | 1, x ^ x[::-1], ~x, x << 1, x >> 1),
    "clip": lambda x: (np.clip(x, -1, 1), np.minimum(x, 2)),
    "products": lambda x: (x @ x.T, np.sum(x * x), x[0] @ x[1]),
}


@pytest.mark.parametrize("name", INTEGER_EXPRESSIONS)
@pytest.mark.parametrize("dtype", ["int64", "int32", "int8"])
def test_integers_stay_integers(name, dtype):
    function = INTEGER_EXPRESSIONS[name]
    compiled = koubai.compile(function)
    x = np.arange(-6, 6, dtype=dtype).reshape(3, 4)
    for _ in range(2):
        assert_same(compiled(x), function(x))


LARGE = {
    "chain": lambda x: (x * 2 + 1) * x - 0.5,
    "choice": lambda x: (
        np.where(x > 0, x, -x),
        np.where(x > 0, 1.0, 0.0),
        np.where(x > 0, 0.0, x),
    ),
    "sigmoid": koubai.sigmoid,
    "softmax": koubai.softmax,
    "rows back": lambda x: blocks(x, lambda b: b[::-1, :]),
    "columns back": lambda x: blocks(x, lambda b: b[:, ::-1]),
    "transpose": lambda x: blocks(x, lambda b: b.T),
    "last row": lambda x: blocks(x, lambda b: b[-1:, :]),
    "last row as a vector": lambda x: blocks(x, lambda b: b[-1, :]),
    "one column": lambda x: blocks(x, lambda b: b[:, :1]),
    "other shape": lambda x: blocks(x, lambda b: np.reshape(np.reshape(b, (-1,)), b.shape)),
    "turned by a reshape": lambda x: blocks(x, lambda b: np.reshape(b.T, b.shape)),
    "sum over rows": lambda x: blocks(x, lambda b: np.sum(b, axis=0)),
    "dtypes": lambda x: np.astype(np.astype(x * 2, np.float64) + 1, np.float32) * 2 + x,
}


def blocks(x, look):
    """Go element by element, look at what came out in another way, and go on."""
    a = x + 1.0
    b = a * 2.0
    c = b * 1.5 + look(b)
    return c * 2.0 + b


@pytest.mark.parametrize("name", LARGE)
def test_large_arrays_give_what_numpy_gives(name):
    function = LARGE[name]
    compiled = koubai.compile(function)
    for seed in range(2):
        x = np.random.default_rng(seed).standard_normal((700, 700)).astype(np.float32)
        assert_same(compiled(x), function(x))


# Random expressions

VIEWS = [
    lambda a: a.T,
    lambda a: a[::-1, :],
    lambda a: np.broadcast_to(a[:1, :], a.shape),
    lambda a: np.reshape(np.reshape(a, (-1,)), a.shape),
    lambda a: np.concat([a[2:, :], a[:2, :]]),
    lambda a: np.take(a, np.asarray([3, 0, 1, 1]), axis=1),
]
ONES = [
    np.tanh,
    np.negative,
    lambda a: a * 1,
    lambda a: np.maximum(a, 0.0),
    lambda a: np.where(a <= 0, 0.0, a),
    lambda a: np.sum(a, axis=0) * 0.1 + a,
    lambda a: np.sum(a, axis=1, keepdims=True) * 0.1 + a,
    lambda a: a - np.max(a, axis=-1, keepdims=True),
    lambda a: a + np.mean(a),
]
TWOS = [
    np.add,
    np.subtract,
    np.multiply,
    lambda a, b: 0.1 * (a @ b),
    lambda a, b: a - 0.1 * (a.T @ b),
    lambda a, b: np.where(a > b, a, b),
    lambda a, b: a + np.sum(a * b),
    lambda a, b: a / (1.0 + np.abs(b)),
]


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 22), st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=14
    ),
    kept=st.lists(st.integers(0, 20), min_size=1, max_size=3),
)
@settings(derandomize=True, deadline=None, max_examples=250, database=None)
def test_random_expression_gives_what_numpy_gives(steps, kept):
    def function(x, y):
        pool = [x, y]
        for kind, i, j in steps:
            a, b = pool[-1 - i % len(pool)], pool[-1 - j % len(pool)]
            if kind < len(VIEWS):
                pool.append(VIEWS[kind](a))
            elif kind < len(VIEWS) + len(ONES):
                pool.append(ONES[kind - len(VIEWS)](a))
            else:
                pool.append(np.tanh(TWOS[kind - len(VIEWS) - len(ONES)](a, b)))
        return [pool[-1 - i % len(pool)] for i in kept]

    compiled = koubai.compile(function)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((4, 4)), rng.standard_normal((4, 4))
        before = x.copy(), y.copy()
        assert_same(compiled(x, y), function(x, y), 1e-9)
        assert_same((x, y), before)


# Arrays, and how they are compared


def normal(place, shape, seed=0):
    return place.asarray(np.random.default_rng(seed).standard_normal(shape), dtype="float32")


def small(place):
    return TwoLayerNet(4, 6, 3, 0.5, device=place, rng=0)


def operands(name):
    rng = np.random.default_rng(0)
    if name in LOGICAL:
        return [rng.standard_normal((4, 3)) > 0]
    if name in INTEGERS:
        return [rng.integers(0, 5, (4, 3)), rng.standard_normal((4, 3)) > 0][
            : 1 + ("sh" not in name)
        ]
    return [rng.standard_normal((4, 3)).astype(dtype) for dtype in ("float32", "float64")]


def arrays_in(found):
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, (tuple, list)):
        return [array for each in found for array in arrays_in(each)]
    return [] if found is None else [found]


def assert_same(found, expected, rtol=None):
    """See that two results have the same form, shapes, dtypes and, nearly, values."""
    if isinstance(expected, (tuple, list)):
        assert isinstance(found, type(expected))
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other, rtol)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            assert_same(found[key], expected[key], rtol)
    elif expected is None:
        assert found is None
    else:
        one, other = (to_numpy(each) for each in (found, expected))
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        single = one.dtype in (np.float32, np.complex64)
        rtol = rtol or (2e-5 if single else 1e-12)
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol)


def test_threads_that_run_one_function_wait_for_each_other(place):
    net = TwoLayerNet(64, 256, 10, rng=0, device=place)
    run = koubai.compile(net.predict)
    rng = np.random.default_rng(0)
    inputs = [place.asarray(rng.random((256, 64)), dtype="float32") for _ in range(2)]
    wanted = [to_numpy(net.predict(x)) for x in inputs]
    run(inputs[0])

    def farthest(i):
        return max(np.abs(to_numpy(run(inputs[i])) - wanted[i]).max() for _ in range(100))

    with ThreadPoolExecutor(2) as pool:
        assert max(pool.map(farthest, (0, 1))) < 1e-3


def test_a_function_is_written_once(monkeypatch):
    written = []
    bind = Replay.bind
    monkeypatch.setattr(Replay, "bind", lambda *args: written.append(1) or bind(*args))
    run = koubai.compile(lambda x: x * 2)
    for _ in range(3):
        run(np.ones(3))
    assert len(written) == 1
