"""Compiled functions of PyTorch's tensors on the CPU: NumPy's plan in the same memory."""

from itertools import pairwise

import numpy as np
import pytest

import koubai
from koubai import SGD, Adam, Momentum, TwoLayerNet
from koubai import array_namespace as xp
from koubai.compile import blas
from koubai.errors import LabelError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from koubai_torch import _without_autograd, products  # noqa: E402
from koubai_torch.shared import Shared  # noqa: E402

X, T = torch.linspace(-1, 1, 24).reshape(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])

VECTORS = [((4,), (4,)), ((9000,), (9000,)), ((4,), (4, 3)), ((5, 4), (4,))]
MATRICES = [((5, 4), (4, 3)), ((1, 4), (4, 1)), ((5, 0), (0, 3)), ((0, 4), (4, 3))]
SHAPES = [*VECTORS, *MATRICES, ((2, 5, 4), (4, 3)), ((2, 5, 4), (2, 4, 3))]
OTHERS = ["reversed", "read-only", "integers", "float16", "a stack by a vector"]


@pytest.fixture(autouse=True)
def nothing_but_torch_multiplies(monkeypatch):
    """Let no product go to NumPy's BLAS, whose threads would spin against PyTorch's."""

    def refuse(*_args, **_named):
        raise AssertionError("this product went to NumPy's BLAS")

    for name in ("dot", "matmul", "gemm"):
        monkeypatch.setattr(blas, name, refuse)


def network(**options):
    return TwoLayerNet(4, 6, 3, rng=0, device="torch:cpu", **options)


def shared(function):
    return Shared(function, _without_autograd(function))


def update(state, x):
    w = state["w"] - state["lr"] * (x.T @ (x @ state["w"]))
    return {**state, "w": w}, xp(w).sum(w)


def fresh():
    return {"w": torch.ones((4, 2)), "lr": 0.5}


# The memory


@pytest.mark.parametrize("optimizer", [SGD, Momentum, Adam])
def test_parameters_are_written_where_they_lie(optimizer):
    net = network()
    step = koubai.compile_step(net, optimizer(0.1))
    losses = [step(X, T), step(X, T)]
    before = {key: (value, value.data_ptr()) for key, value in net.params.items()}
    losses += [step(X, T), step(X, T)]
    for key, value in net.params.items():
        assert value is before[key][0]
        assert value.data_ptr() == before[key][1]
    assert all(one > other for one, other in pairwise(losses))
    assert isinstance(losses[0], torch.Tensor)
    assert losses[0].shape == ()
    assert step.plan.operations


def test_autograd_is_told_that_a_parameter_has_changed():
    net = network()
    step = koubai.compile_step(net, SGD(0.1))
    step(X, T)
    x = X.clone().requires_grad_(True)
    y = (x @ net.params["W1"]).sum()
    step(X, T)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_graph_is_told_that_a_parameter_has_changed():
    net = network()
    step = koubai.compile_step(net, SGD(0.1))
    step(X, T)
    loss = net.loss(koubai.graph.Variable(X), T)
    step(X, T)
    with pytest.raises(koubai.errors.GraphError, match="changed"):
        loss.backward()


def test_inputs_stay_as_they_are_and_outputs_are_the_callers():
    run = koubai.compile(lambda x: (x, 2 * x, x.T))
    x = X.clone()
    first = run(x)
    kept = [each.clone() for each in first]
    run(x + 1)
    x += 5
    for one, other in zip(first, kept, strict=True):
        assert torch.equal(one, other)
    assert run.plan.operations


def test_inputs_of_any_layout_and_with_a_gradient_are_read():
    run = koubai.compile(lambda x: 2 * x)
    for x in (X.T, X[:, ::2], X.clone().requires_grad_(True), X[:0], X.expand(3, 6, 4)):
        found = run(x)
        assert torch.equal(found, 2 * x.detach())
        assert not found.requires_grad
        found += 1  # and they can be written to
        assert run.plan.operations


# The state


def test_numbers_of_the_state_are_taken_anew():
    run, state, w = shared(update), fresh(), torch.ones((4, 2))
    for lr in (0.5, 0.25, 0.5):
        state["lr"] = lr
        state, total = run(state, X)
        w = w - lr * (X.T @ (X @ w))
        torch.testing.assert_close(state["w"], w)
        torch.testing.assert_close(total, w.sum())
    assert run.plan.operations


def test_tensors_of_the_state_may_be_exchanged():
    run, state = shared(update), fresh()
    state, _ = run(state, X)
    first = state["w"]
    kept = first.clone()
    state, _ = run({"w": torch.zeros((4, 2)), "lr": 0.5}, X)
    assert torch.equal(first, kept)
    assert not state["w"].any()
    state, _ = run({"w": first, "lr": 0.5}, X)
    torch.testing.assert_close(first, kept - 0.5 * (X.T @ (X @ kept)))
    assert run.plan.operations


def test_state_may_change_its_shape_and_a_tensor_that_lies_by_columns_is_laid_anew():
    def function(state, x):
        return {"w": state["w"] + x, "n": state["n"] + 1, "y": xp(x).sum(x, axis=0)}, x + state["n"]

    w = torch.ones((4, 6)).T
    run, state = shared(function), {"w": w, "n": 1, "y": torch.zeros(6, 4)}
    for i in (1, 2, 3):
        state, found = run(state, X)
        torch.testing.assert_close(state["w"], 1 + i * X)
        torch.testing.assert_close(found, X + i)
        assert state["n"] == i + 1
        assert state["y"].shape == (4,)
        if i == 1:
            state["y"] = torch.zeros(6, 4)
    assert run.plan.operations


def test_state_made_in_inference_mode_is_written_to():
    with torch.inference_mode():
        state = fresh()
    run = shared(update)
    state, _ = run(state, X)
    torch.testing.assert_close(state["w"], update(fresh(), X)[0]["w"])
    assert run.plan.operations


def test_a_tensor_may_get_another_memory():
    net = network()
    step = koubai.compile_step(net, SGD(0.1))
    for _ in range(3):
        step(X, T)
    weights = net.params["W1"]
    weights.data = torch.zeros_like(weights)
    step(X, T)
    assert net.params["W1"] is weights
    assert weights.any()


def test_a_step_in_inference_mode_is_one_outside_as_well():
    net = network()
    step = koubai.compile_step(net, SGD(0.1))
    with torch.inference_mode():
        step(X[:3], T[:3])
    step(X[:3], T[:3])
    step(X, T)
    with torch.inference_mode():
        predict = koubai.compile(net.predict)
        predict(X)
    torch.testing.assert_close(predict(X), net.predict(X))


def test_neither_warnings_nor_errors_of_numpy_come_through():
    run = koubai.compile(lambda x: (xp(x).log(x), xp(x).exp(-x * 1e4)))
    for x in (X, torch.zeros(6, 4)):
        with np.errstate(all="raise"):
            found = run(x)
        torch.testing.assert_close(found[0], torch.log(x), equal_nan=True)
    assert run.plan.operations


def test_a_constant_may_be_read_only():
    constant = np.eye(4, dtype=np.float32)
    constant.flags.writeable = False
    assert torch.equal(products.address(constant), torch.eye(4))


def test_inputs_of_other_kinds_come_later():
    class Other(torch.Tensor):
        pass

    run = koubai.compile(lambda x: x * 2)
    run(X)
    assert run.plan.operations
    assert run(X.to_sparse()).is_sparse
    assert type(run(X.as_subclass(Other))) is Other


# What NumPy's plan is not for


class Reads:
    """A loss that looks at a value."""

    def __init__(self, read):
        self.read = read

    def __call__(self, state, x):
        return update(state, x if self.read(x) else -x)


@pytest.mark.parametrize(
    "function",
    [
        Reads(lambda x: float(x[0, 0]) > 0),
        Reads(lambda x: bool(torch.all(x < 9))),
        lambda state, x: ({"w": torch.relu(state["w"]), "lr": 1}, torch.erf(x)),
    ],
    ids=["a value", "a branch", "torch's own"],
)
def test_what_cannot_be_recorded_runs_as_it_is(function):
    run = shared(function)
    state, expected = fresh(), fresh()
    for x in (X, X + 2):
        state, found = run(state, x)
        with torch.inference_mode():
            expected, wanted = function(expected, x)
        torch.testing.assert_close(state["w"], expected["w"])
        torch.testing.assert_close(found, wanted)
    assert run.plan is None


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (lambda x: x + xp(x).zeros(4), X),
        (lambda x: x * xp(x).asarray([1.0, 2.0, 3.0, 4.0]), X),
        (lambda x: x / 2, X.long()),
        (lambda x: xp(x).exp(x), X.to(torch.uint8)),
        (lambda x: xp(x).sum(x), X.to(torch.uint8)),
        (lambda x: xp(x).where(x > 0, 1.0, 0.0), X),
        (lambda x: x * (10.0 if x.dtype == torch.float32 else 1.0), X),
        (lambda x: xp(x).median(x), X),
        (lambda x: xp(x).unstack(x), X),
        (lambda x: x + 1j, X),
        (lambda x: (x * 2, 3, 2.5, True), X),
        (lambda x: {"a": x, "dtype": str(x.dtype)}, X),
    ],
)
def test_what_numpy_does_in_another_way_runs_as_it_is(function, given):
    run, wanted = koubai.compile(function), function(given)
    for _ in range(2):
        found = run(given)
        assert repr(found) == repr(wanted)


def test_what_is_random_runs_as_it_is():
    def function(x):
        return x * xp(x).asarray(rng.random(x.shape) > 0.5)

    rng = np.random.default_rng(0)
    run = koubai.compile(function)
    assert len({tuple((run(X) == 0).flatten().tolist()) for _ in range(5)}) > 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64"])
def test_other_dtypes_run_as_they_are(dtype):
    run = koubai.compile(lambda x: x * 2)
    x = X.to(getattr(torch, dtype))
    assert torch.equal(run(x), x * 2)
    assert run(x).dtype == x.dtype
    assert "inference_mode" in str(run.plan)


def test_a_mistake_is_told_as_the_layers_tell_it():
    net = network()
    with pytest.raises(koubai.errors.ShapeError) as eager:
        net.gradient(X[:, :3], T)
    with pytest.raises(koubai.errors.ShapeError) as compiled:
        koubai.compile_step(net, SGD(0.1))(X[:, :3], T)
    assert str(compiled.value) == str(eager.value)


def test_a_bad_label_is_found_before_anything_has_changed():
    net = network()
    step = koubai.compile_step(net, SGD(0.1))
    step(X, T)
    before = net.params["W1"].clone()
    with pytest.raises(LabelError, match="7"):
        step(X, torch.tensor([0, 1, 2, 7, 1, 2]))
    assert torch.equal(net.params["W1"], before)


# The products


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("a", "b"), SHAPES, ids=str)
def test_pytorch_multiplies_as_numpy_does(a, b, dtype):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(a).astype(dtype), rng.standard_normal(b).astype(dtype)
    wanted = a @ b
    out = np.full(wanted.shape, np.nan, dtype)
    products.matmul(a, b, out=out)
    np.testing.assert_allclose(out, wanted, rtol=1e-4)
    if a.ndim == b.ndim == 2:
        turned = np.full(wanted.shape[::-1], np.nan, dtype)
        products.matmul(b.T, a.T, out=turned)
        np.testing.assert_allclose(turned.T, wanted, rtol=1e-4)


@pytest.mark.parametrize(
    "kind", ["reversed", "read-only", "integers", "float16", "a stack by a vector"]
)
def test_what_pytorch_cannot_look_at_numpy_multiplies(kind, monkeypatch):
    monkeypatch.undo()
    a, b = np.arange(12.0).reshape(3, 4), np.arange(8.0).reshape(4, 2)
    if kind == "reversed":
        a = a[::-1]
    elif kind == "read-only":
        a = np.broadcast_to(a[:1], (3, 4))
    elif kind == "a stack by a vector":
        a, b = np.ones((2, 3, 4)), b[:, 0].copy()
    else:
        a, b = (x.astype("int64" if kind == "integers" else kind) for x in (a, b))
    out = np.empty((a @ b).shape, a.dtype)
    products.dot(a, b, out=out)
    assert out.tolist() == (a @ b).tolist()
