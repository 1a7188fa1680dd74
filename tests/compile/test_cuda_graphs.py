"""CUDA graphs of PyTorch's, on a stand-in for torch.cuda that captures and replays on the CPU."""

from contextlib import contextmanager, nullcontext

import numpy as np
import pytest

import koubai
from koubai import SGD, Adam, Momentum, TwoLayerNet, to_numpy

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from koubai_torch import TorchBackend, _without_autograd, graphs  # noqa: E402


class Capture(TorchDispatchMode):
    """Write down every operation with the tensors that it reads and writes."""

    def __init__(self):
        super().__init__()
        self.operations = []
        self.before = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__ in {"item", "_local_scalar_dense", "is_nonzero"}:
            raise RuntimeError("operation not permitted when stream is capturing")
        if function._schema.is_mutable:
            self.before.append((args[0], args[0].clone()))
        results = function(*args, **(kwargs or {}))
        self.operations.append((function, args, kwargs or {}, results))
        return results


def memory(tensor):
    return tensor.untyped_storage().data_ptr()


class Graph:
    """What was captured: a replay reads and writes the same tensors again."""

    replays = 0

    def replay(self):
        Graph.replays += 1
        with torch.inference_mode():
            for function, args, kwargs, results in self.operations:
                found = function(*args, **kwargs)
                for old, new in zip(tree_leaves(results), tree_leaves(found), strict=True):
                    if isinstance(old, torch.Tensor) and memory(old) != memory(new):  # no view
                        old.copy_(new)


class Cuda:
    """As much of torch.cuda as a capture needs."""

    CUDAGraph = Graph

    class Stream:
        def wait_stream(self, other):
            pass

    def __init__(self):
        self.current_stream = self.Stream

    def device(self, name):
        return nullcontext()

    def stream(self, stream):
        return nullcontext()

    @contextmanager
    def graph(self, graph):
        with Capture() as capture:
            yield
        for tensor, old in reversed(capture.before):  # a capture does not run
            tensor.copy_(old)
        graph.operations = capture.operations


COMPILE, COMPILE_LOOP = TorchBackend.compile, TorchBackend.compile_loop


def test_only_gpus_have_graphs():
    def function(state, x):
        return state, x

    backend = TorchBackend()
    assert isinstance(COMPILE(backend, function, "cuda:0"), graphs.Captured)
    assert not isinstance(COMPILE(backend, function, "cpu"), graphs.Captured)
    assert COMPILE_LOOP(backend, function, "cuda:0") is not None
    assert COMPILE_LOOP(backend, function, "cpu") is None


@pytest.fixture(autouse=True)
def on_a_gpu(monkeypatch):
    """Let torch:cpu compile as a GPU does."""
    Graph.replays = 0
    monkeypatch.setattr(graphs, "cuda", Cuda())
    captured = lambda self, function, device: graphs.Captured(  # noqa: E731
        function, _without_autograd(function), device
    )
    loop = lambda self, function, device: graphs.unrolled(  # noqa: E731
        function, _without_autograd(function), device
    )
    monkeypatch.setattr(TorchBackend, "compile", captured)
    monkeypatch.setattr(TorchBackend, "compile_loop", loop)
    monkeypatch.setattr(TorchBackend, "gpus", lambda self: ("cpu",))
    monkeypatch.setattr(graphs, "_STEPS", 3)


def batches(count, sizes=(8,)):
    rng = np.random.default_rng(0)
    place = koubai.device("torch:cpu")
    for i in range(count):
        n = sizes[i % len(sizes)]
        x, t = rng.standard_normal((n, 6)), rng.integers(0, 3, n)
        yield place.asarray(x, dtype="float64"), place.asarray(t)


def network():
    return TwoLayerNet(6, 5, 3, rng=0, device="torch:cpu", dtype="float64")


@pytest.mark.parametrize("optimizer", [SGD, Momentum, Adam])
def test_graphs_train_as_the_layers_do(optimizer, same_training):
    same_training(network, optimizer, list(batches(12, (8, 5))), 1e-12)
    assert Graph.replays >= 8


def test_a_graph_follows_the_learning_rate_and_new_weights(same_training):
    def change(i, net, optimizer):
        optimizer.lr = 0.1 / (i + 1)
        if i == 4:
            net.params["W1"] = net.params["W1"] * 2.0

    same_training(network, lambda: SGD(0.1), list(batches(8)), 1e-12, change)
    assert Graph.replays == 8


def test_the_loss_of_a_graph_is_the_callers_to_keep():
    step = koubai.compile_step(network(), SGD(0.5))
    (x, t), *_ = batches(1)
    losses = [step(x, t) for _ in range(5)]
    assert len({float(loss) for loss in losses}) == 5


def test_an_epoch_is_some_graphs():
    xs, ts = (torch.stack(each) for each in zip(*batches(11), strict=True))
    one, other = network(), network()
    losses = koubai.compile_step(one, SGD(0.1)).epoch(xs, ts)
    step = koubai.compile_step(other, SGD(0.1))
    expected = [float(step(x, t)) for x, t in zip(xs, ts, strict=True)]
    np.testing.assert_allclose(to_numpy(losses), expected, rtol=1e-12)
    for name in one.params:
        np.testing.assert_allclose(to_numpy(one.params[name]), to_numpy(other.params[name]))


def compiled(function):
    return graphs.Captured(function, _without_autograd(function), "cpu")


@pytest.mark.parametrize(
    ("function", "is_graph"),
    [
        (lambda state, x: ({"a": state["b"], "b": state["a"]}, x), True),
        (lambda state, x: ({"a": state["b"] + x, "b": state["a"].T}, state["a"]), True),
        (lambda state, x: ({**state, "a": x}, (state["a"], {"x": x})), True),
        (lambda state, x: (state, float(torch.sum(x)) * x), False),
        (lambda state, x: (state, x * 2.0 if x[0, 0] > 0 else x), False),
        (lambda state, x: ({**state, "c": x}, x), False),
    ],
)
def test_what_cannot_be_captured_runs_as_it_is(function, is_graph):
    run = compiled(function)
    rng = np.random.default_rng(0)
    ours = {name: torch.tensor(rng.standard_normal((2, 2))) for name in "ab"}
    theirs = {name: each.clone() for name, each in ours.items()}
    for _ in range(4):
        x = torch.tensor(rng.standard_normal((2, 2)))
        expected, wanted = function({name: each.clone() for name, each in theirs.items()}, x)
        found, outputs = run(ours, x)
        for name in "ab":
            torch.testing.assert_close(found[name], expected[name])
        torch.testing.assert_close(outputs, wanted)
        ours, theirs = ({name: each[name] for name in "ab"} for each in (found, expected))
    assert Graph.replays == (4 if is_graph else 0)


def test_a_graph_that_gives_something_else_is_not_used(monkeypatch):
    replay = Graph.replay
    step = koubai.compile_step(network(), SGD(0.1))
    by_hand, (x, t) = network(), next(batches(1))

    def wrong(self):
        replay(self)
        step.network.params["W1"].mul_(1.0 + 1e-5)

    monkeypatch.setattr(Graph, "replay", wrong)
    for _ in range(3):
        step(x, t)
        grads = by_hand.gradient(x, t)
        SGD(0.1).update(by_hand.params, grads)
    assert Graph.replays == 1
    for name, expected in by_hand.params.items():
        torch.testing.assert_close(step.network.params[name], expected)


def test_an_integer_rate_may_become_a_fraction(same_training):
    def change(i, net, optimizer):
        optimizer.lr = (1, 0.5, 2)[i % 3]

    same_training(network, lambda: SGD(1), list(batches(7)), 1e-12, change)


def test_a_function_may_take_numbers():
    multiply = koubai.compile(lambda x, a: x * a)
    x = koubai.device("torch:cpu").asarray([1.0, 2.0])
    for a in (2.0, 2.0, 3.0, 4, 0.5):
        np.testing.assert_array_equal(to_numpy(multiply(x, a)), [a, 2 * a])
    assert Graph.replays >= 4


def test_graphs_keep_nothing_for_autograd():
    run = compiled(lambda state, x: (state, x * 2.0))
    for _ in range(3):
        x = torch.ones(2, requires_grad=True)
        _, doubled = run({}, x)
        assert not doubled.requires_grad
    assert all(each.grad_fn is None for graph in run._graphs.values() for each in graph._inputs)


def test_arrays_of_the_graph_itself_may_come_back_exchanged():
    run = compiled(lambda state, x: ({"a": state["a"] + x, "b": state["b"] + 1.0}, x))
    state = {"a": torch.zeros(2), "b": torch.full((2,), 10.0)}
    for _ in range(2):
        state, _ = run(state, torch.ones(2))
    state, _ = run({"a": state["b"], "b": state["a"]}, torch.ones(2))
    assert (state["a"][0], state["b"][0]) == (13.0, 3.0)
