"""Random expressions: the gradients are those of PyTorch's and of JAX's automatic differentiation.

An expression is a tree of tuples over a few inputs whose shapes broadcast to (2, 3). It is
run three times: on Variables, on NumPy arrays to see how near a kink or tie it comes, and by
the other library.
"""

import importlib
import importlib.util

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import koubai
from koubai.graph import Variable

SHAPES = [(2, 3), (3,), (2, 1), ()]
NUMBERS = [2.0, -0.5, 3]
UNARY = ["neg", "exp", "log", "tanh", "abs", "square", "cube", "relu", "sigmoid", "reciprocal"]
REDUCING = ["sum", "mean", "max", "min", "sum_all", "mean_all", "max_all", "min_all"]
FULL = ["softmax", "log_softmax", "reshape", "transpose", "where"]
BINARY = ["add", "sub", "mul", "div", "pow", "maximum", "minimum", "matmul"]

LEAVES = [("number", n) for n in NUMBERS] + [("input", i) for i in range(len(SHAPES))]


def expression(random):
    """Draw a few steps, each on what is there; so parts come several times in an expression."""
    found = list(LEAVES)
    for _ in range(random.randint(3, 7)):
        name = random.choice(UNARY + REDUCING + FULL + BINARY)
        below = [random.choice(found[-len(SHAPES) :]) for _ in "xy"]
        found.append((name, *(below if name in BINARY else below[:1])))
    return found[-1]


# Truly random ones, because the simple ones that hypothesis prefers leave functions out.
expressions = st.randoms(use_true_random=True).map(expression)
many_times = settings(
    derandomize=True,
    deadline=None,
    max_examples=200,
    database=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


class OnNumpy:
    """NumPy itself: it tells how near to a kink or tie the expression comes."""

    xp = np

    def __init__(self):
        self.nearest = np.inf

    def array(self, values):
        return np.asarray(values)

    def saw(self, distance):
        self.nearest = min(self.nearest, float(np.min(np.abs(distance), initial=np.inf)))

    def extreme(self, name, x, axis):
        ordered = np.sort(x, axis=None if axis is None else axis)
        if ordered.shape[-1:] > (1,):
            gaps = np.diff(ordered, axis=-1)
            self.saw(gaps[..., -1] if name == "max" else gaps[..., 0])
        return getattr(np, name)(x, axis=axis, keepdims=True)

    def reduce(self, name, x, axis):
        if name in {"max", "min"}:
            return self.extreme(name, x, axis)
        return getattr(np, name)(x, axis=axis, keepdims=True)

    def softmax(self, x):
        return koubai.softmax(x)

    def log_softmax(self, x):
        return koubai.log_softmax(x)

    def sigmoid(self, x):
        return koubai.sigmoid(x)

    def relu(self, x):
        self.saw(x)
        return koubai.relu(x)

    def permute(self, x):
        return x.T


class OnVariables(OnNumpy):
    """The graph of koubai."""

    def array(self, values):
        return Variable(np.asarray(values))

    @property
    def xp(self):
        return koubai.array_namespace(Variable(1.0))

    def saw(self, distance):
        pass

    def reduce(self, name, x, axis):
        return getattr(x, name)(axis=axis, keepdims=True)


class OnTorch(OnNumpy):
    """PyTorch, and its autograd."""

    def __init__(self):
        self.xp = importlib.import_module("torch")

    def saw(self, distance):
        pass

    def reduce(self, name, x, axis):
        find = getattr(self.xp, {"max": "amax", "min": "amin"}.get(name, name))
        return find(x, dim=tuple(range(x.ndim)) if axis is None else axis, keepdim=True)

    def softmax(self, x):
        return self.xp.softmax(x, -1)

    def log_softmax(self, x):
        return self.xp.log_softmax(x, -1)

    def sigmoid(self, x):
        return self.xp.sigmoid(x)

    def relu(self, x):
        return self.xp.relu(x)


class OnJax(OnNumpy):
    """JAX, and its grad."""

    def __init__(self):
        self.jax = importlib.import_module("jax")
        self.xp = self.jax.numpy

    def saw(self, distance):
        pass

    def reduce(self, name, x, axis):
        return getattr(self.xp, name)(x, axis=axis, keepdims=True)

    def softmax(self, x):
        return self.jax.nn.softmax(x)

    def log_softmax(self, x):
        return self.jax.nn.log_softmax(x)

    def sigmoid(self, x):
        return self.jax.nn.sigmoid(x)

    def relu(self, x):
        return self.jax.nn.relu(x)


def run(tree, inputs, on, zeros):
    """Compute an expression; ``zeros`` of shape (2, 3) make a part of it whole."""
    name, *below = tree
    if name == "input":
        return inputs[below[0]]
    if name == "number":
        return below[0]
    x, *others = [run(each, inputs, on, zeros) for each in below]
    if others:
        return two(name, x, others[0], on, zeros)
    if name in FULL:
        return whole(name, x + zeros, on)
    return one(name, x if hasattr(x, "shape") else x + inputs[-1], on)


def one(name, x, on):
    xp = on.xp
    if name.partition("_")[0] in {"sum", "mean", "max", "min"}:
        short, _, everything = name.partition("_")
        if tuple(x.shape) == ():
            return x * 1.5
        return on.reduce(short, x, None if everything else -1)
    if name == "abs":
        on.saw(x)
    return {
        "neg": lambda: -x,
        "exp": lambda: xp.exp(xp.tanh(x)),
        "log": lambda: xp.log(x * x + 0.5),
        "tanh": lambda: xp.tanh(x),
        "abs": lambda: abs(x),
        "square": lambda: x**2,
        "cube": lambda: 0.1 * x**3,
        "relu": lambda: on.relu(x),
        "sigmoid": lambda: on.sigmoid(x),
        "reciprocal": lambda: 1.0 / (1.0 + x * x),
    }[name]()


def two(name, x, y, on, zeros):
    xp = on.xp
    if name == "matmul":
        x, y = x + zeros, y + zeros
        return 0.2 * (x @ (on.permute(y) @ xp.tanh(x)))
    if name in {"maximum", "minimum"}:
        x, y = x + zeros, y + zeros
        on.saw(x - y)
    return {
        "add": lambda: x + y,
        "sub": lambda: x - y,
        "mul": lambda: x * y,
        "div": lambda: x / (y * y + 0.5),
        "pow": lambda: (x * x + 0.5) ** xp.tanh(y + zeros),
        "maximum": lambda: xp.maximum(x, y),
        "minimum": lambda: xp.minimum(x, y),
    }[name]()


def whole(name, x, on):
    xp = on.xp
    if name == "where":
        on.saw(x - 0.1)
    return {
        "softmax": lambda: on.softmax(x),
        "log_softmax": lambda: on.log_softmax(x),
        "reshape": lambda: on.permute(xp.reshape(x, (3, 2))),
        "transpose": lambda: xp.reshape(on.permute(x), (2, 3)),
        "where": lambda: xp.where(x > 0.1, 2.0 * x, 0.5 * x),
    }[name]()


def drawn(seed):
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1.5, 1.5, shape) for shape in SHAPES]


def smooth(tree, values):
    """Tell whether the expression is an array, and at these values away from kinks and ties."""
    on = OnNumpy()
    y = run(tree, [on.array(v) for v in values], on, np.zeros((2, 3)))
    return hasattr(y, "shape") and on.nearest > 1e-4 and np.max(np.abs(y)) < 1e4


def of_koubai(tree, values):
    on = OnVariables()
    inputs = [on.array(v) for v in values]
    y = run(tree, inputs, on, np.zeros((2, 3)))
    y.sum().backward()
    return [np.zeros(v.shape) if v.grad is None else np.asarray(v.grad) for v in inputs]


def of_torch(tree, values):
    on = OnTorch()
    inputs = [on.xp.tensor(v, dtype=on.xp.float64, requires_grad=True) for v in values]
    y = run(tree, inputs, on, on.xp.zeros((2, 3), dtype=on.xp.float64))
    y.sum().backward()
    return [np.zeros(v.shape) if v.grad is None else v.grad.numpy() for v in inputs]


def of_jax(tree, values):
    on = OnJax()

    def total(inputs):
        return on.xp.sum(run(tree, inputs, on, np.zeros((2, 3))))

    with koubai.device("jax:cpu").backend.float64():
        return [np.asarray(g) for g in on.jax.grad(total)([on.xp.asarray(v) for v in values])]


def installed(library, gradients):
    missing = importlib.util.find_spec(library) is None
    mark = pytest.mark.skipif(missing, reason=f"{library} is not installed")
    return pytest.param(gradients, id=library, marks=mark)


@pytest.mark.parametrize("other", [installed("torch", of_torch), installed("jax", of_jax)])
@many_times
@given(tree=expressions, seed=st.integers(0, 2**16))
def test_gradients_are_those_of(other, tree, seed):
    values = drawn(seed)
    assume("input" in str(tree) and smooth(tree, values))
    for found, wanted in zip(of_koubai(tree, values), other(tree, values), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
