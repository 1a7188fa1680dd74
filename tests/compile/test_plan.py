"""The plan: what the passes leave, where it lies, and the ways to replay it."""

import gc
import linecache
import tracemalloc
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import koubai
from koubai import (
    SGD,
    Affine,
    IdentityWithLoss,
    Momentum,
    Network,
    Relu,
    Sigmoid,
    Tanh,
    TwoLayerNet,
)
from koubai.compile import blas, passes
from koubai.compile.memory import place as place_in_memory
from koubai.compile.record import record
from koubai.compile.recorded import RecordedFunction
from koubai.errors import KoubaiError

PLAIN = (*passes.FIRST, *passes.ON_THE_HOST, *passes.LAST)
NAMES = [each.__name__ for each in (*PLAIN, *passes.WITH_BLAS)]


# What a step shows of itself


def test_plan_is_a_table_of_operations_and_passes():
    step, *_ = trained(TwoLayerNet(784, 50, 10, rng=0, device="cpu"), 784)
    text = str(step.plan)
    header, *rows = text.splitlines()
    assert header.split() == ["operation", "result", "lies", "in", "bytes", "flops"]
    assert sum(row.lstrip()[:1].isdigit() for row in rows) >= step.plan.operations
    assert "(784, 50) float32" in text
    assert "156,800" in text
    assert text == repr(step.plan)
    for name in NAMES:
        assert name in text
    assert "floating-point operations" in text


def test_plan_counts_the_products():
    step, *_ = trained(TwoLayerNet(784, 50, 10, rng=0, device="cpu"), 784)
    products = 2 * 100 * (784 * 50 * 2 + 50 * 10 * 3)
    assert products < step.plan.flops < 1.1 * products


def test_plan_needs_less_memory_than_all_results():
    step, *_ = trained(TwoLayerNet(784, 50, 10, rng=0, device="cpu"), 784)
    assert 0 < step.plan.buffer_bytes < step.plan.result_bytes / 2


def test_parameters_are_updated_where_they_lie():
    net = TwoLayerNet(784, 50, 10, rng=0, device="cpu")
    step, x, t = trained(net, 784, Momentum(0.1))
    step(x, t)
    before = {**net.params, **{f"v {key}": v for key, v in step.optimizer.v.items()}}
    for _ in range(3):
        step(x, t)
    after = {**net.params, **{f"v {key}": v for key, v in step.optimizer.v.items()}}
    assert all(after[key] is before[key] for key in before)


def test_plan_before_the_first_step_is_refused(place):
    net = TwoLayerNet(4, 6, 3, device=place, rng=0)
    with pytest.raises(KoubaiError, match="before the first step"):
        _ = koubai.compile_step(net, SGD()).plan
    with pytest.raises(KoubaiError, match="before the first call"):
        _ = koubai.compile(net.predict).plan


def test_plan_says_who_compiles(place):
    net = TwoLayerNet(4, 6, 3, device=place, rng=0)
    step = koubai.compile_step(net, SGD())
    step(place.asarray(np.ones((2, 4)), dtype="float32"), place.asarray([0, 1]))
    predict = koubai.compile(net.predict)
    predict(place.asarray(np.ones((2, 4)), dtype="float32"))
    for plan in map(str, (step.plan, predict.plan)):
        words = {"numpy": "operation", "jax": "jax.jit", "torch": "operation"}
        assert words.get(place.backend.name, "nothing") in plan


def test_plan_of_anything_can_be_printed():
    def function(x, a):
        parts = np.sort(x, axis=0)[::-1], np.einsum("ij,ij->i", x, x), np.where(x > 0, x, a**2)
        return *parts, -a * x, np.sum(x[1:] @ x.T, axis=1), np.concat([x, x]), x[..., None]

    compiled = koubai.compile(function)
    compiled(np.ones((3, 4)), 2.0)
    assert "sort" in str(compiled.plan)
    assert "def replay(" in compiled.plan.source


def test_replayed_step_allocates_no_array():
    step, x, t = trained(TwoLayerNet(784, 50, 10, rng=0, device="cpu"), 784)
    for _ in range(3):
        step(x, t)
    only_arrays = [tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)]
    tracemalloc.start()
    try:
        step(x, t)
        before = tracemalloc.take_snapshot().filter_traces(only_arrays)
        tracemalloc.reset_peak()
        start = tracemalloc.get_traced_memory()[0]
        for _ in range(10):
            step(x, t)
        peak = tracemalloc.get_traced_memory()[1] - start
        after = tracemalloc.take_snapshot().filter_traces(only_arrays)
    finally:
        tracemalloc.stop()
    assert sum(each.size for each in after.traces) <= sum(each.size for each in before.traces)
    assert peak < 8000  # NumPy's own buffer to broadcast; a layer's output would take 20,000


# What each pass does


def test_unused_operations_are_dropped():
    plan = recorded(lambda state, x: ({}, [x + 1, np.exp(x)][0]), x=np.ones(3))
    assert names(plan) == ["add", "exp"]
    assert names(passes.drop_unused(plan)) == ["add"]


def test_what_changes_nothing_is_dropped():
    function = lambda state, x: ({}, np.astype(np.reshape(1 * x, (3,)) / 1 * 1.0, x.dtype) + 0)  # noqa: E731
    assert names(passes.drop_identities(recorded(function, x=np.ones(3)))) == ["add"]
    whole = recorded(lambda state, x: ({}, x / 1), x=np.ones(3, np.int64))
    assert names(passes.drop_identities(whole)) == ["divide"]


def test_what_is_done_twice_is_done_once():
    plan = recorded(
        lambda state, x: ({}, np.exp(x) * np.exp(x) + np.sum(x) + np.sum(x)), x=np.ones(3)
    )
    assert names(passes.merge_equal(plan)).count("exp") == 1
    assert names(passes.merge_equal(plan)).count("sum") == 1
    different = recorded(lambda state, x: ({}, (x + 1) * (x + 1.0) * (x + True)), x=np.ones(3))
    assert names(passes.merge_equal(different)).count("add") == 3


def test_sum_over_a_batch_is_a_product():
    plan = recorded(lambda state, x: ({}, (np.sum(x, axis=0), np.sum(x * x))), x=np.ones((5, 3)))
    found = names(passes.sums_as_products(plan))
    assert "sum" not in found
    assert {"matmul", "dot"} <= set(found)


def test_update_is_one_product_that_adds_itself():
    def function(state, x, d):
        return {"W": state["W"] - 0.1 * (x.T @ d)}, None

    state = {"W": np.ones((4, 3))}
    plan, _ = record(function, state, {"x": np.ones((5, 4)), "d": np.ones((5, 3))})
    simple = passes.join_products(plan)
    assert "gemm" in names(simple)
    assert not {"matmul", "subtract", "multiply"} & set(names(simple))


def of_lr(gradient):
    """Record W - lr * gradient(x, d)."""

    def function(state, x, d):
        return {"W": state["W"] - state["lr"] * gradient(x, d), "lr": state["lr"]}, None

    state = {"W": np.ones((4, 3)), "lr": 0.1}
    plan, _ = record(function, state, {"x": np.ones((5, 4)), "d": np.ones((5, 3))})
    return function, plan


@pytest.mark.parametrize(
    "gradient",
    [
        lambda x, d: x.T @ (d / 5),
        lambda x, d: np.matrix_transpose(-np.where(x > 0, 0.0, x / 5.0)) @ d,
        lambda x, d: np.reshape(np.sum(d / 5, axis=0), (1, 3)),
        lambda x, d: x.T @ (d / 5 / 7),
        lambda x, d: (x.T / 5) @ (d / 7),
    ],
)
@pytest.mark.usefixtures("way")
def test_a_number_is_divided_and_not_the_array_that_it_multiplies(gradient):
    function, plan = of_lr(gradient)
    simple = passes.divide_last(plan)
    divided = [each.result for each in simple.operations if each.name == "divide"]
    assert any(value.dtype is None for value in divided)
    arrays = sum(each.name == "divide" for each in plan.operations) - 1
    assert sum(value.is_array for value in divided) == arrays
    rng = np.random.default_rng(0)
    W, x, d = (rng.standard_normal(shape) for shape in ((4, 3), (5, 4), (5, 3)))
    compiled = koubai.device("cpu").backend.compile(function, "")
    found, _ = compiled({"W": W.copy(), "lr": 0.1}, x, d)
    expected, _ = function({"W": W, "lr": 0.1}, x, d)
    np.testing.assert_allclose(found["W"], expected["W"], rtol=1e-12)


@pytest.mark.parametrize(
    "gradient",
    [
        lambda x, d: np.exp(x.T @ (d / 5)),
        lambda x, d: (g := x.T @ (d / 5)) * g,
        lambda x, d: x.T @ (g := d / 5) + np.sum(g),
        lambda x, d: x.T @ (d / 5)[::-1, :],
        lambda x, d: np.where(x.T @ (d / 5) > 0, 0.0, 1.0),
        lambda x, d: np.where(x.T @ d > 0, 1.0, x.T @ (d / 5)),
        lambda x, d: x.T @ (d / 1e30),
        lambda x, d: x.T @ (d / 0.5),
        lambda x, d: x.T @ (d / np.sum(d)),
    ],
)
def test_an_array_is_divided_where_more_is_done_with_it(gradient):
    _, plan = of_lr(gradient)
    assert names(passes.divide_last(plan)) == names(plan)


def test_a_product_of_two_divided_arrays_is_left_alone():
    def function(state, d):
        g = d / 5
        return {"W": state["W"] - state["lr"] * (g.T @ g), "lr": state["lr"]}, None

    state = {"W": np.ones((3, 3)), "lr": 0.1}
    plan, _ = record(function, state, {"d": np.ones((5, 3))})
    assert names(passes.divide_last(plan)) == names(plan)


def test_a_step_divides_the_learning_rate_by_the_size_of_the_batch():
    step, *_ = trained(TwoLayerNet(784, 50, 10, rng=0, device="cpu"), 784)
    text = str(step.plan)
    assert "optimizer.lr / 100" in text
    (line,) = [each for each in text.splitlines() if "/ 100 " in each and "lr" not in each]
    assert "() float32" in line  # the loss


def relu_and_gradient(state, x, d):
    y = np.maximum(x, 0.0)
    return {}, (y + 1.0, np.where(x <= 0, 0.0, d), y * 2.0)


def test_the_gradient_of_relu_is_chosen_by_the_bits_of_its_result():
    one = np.ones((80, 40), np.float32)
    plan = passes.select_by_result(recorded(relu_and_gradient, x=one, d=one))
    expected = ["maximum", "add", "minimum", "multiply", "multiply"]
    assert [name for name in names(plan) if name != "bitcast"] == expected


@pytest.mark.parametrize("shape", [(80, 40), (400, 400), (3000,)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_choose_as_the_mask_does(shape, dtype):
    rng = np.random.default_rng(0)
    tiny, most = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    special = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, tiny, -tiny, most, -most, 1.0, -1.0]
    x, d = (rng.choice(np.asarray(special, dtype), shape) for _ in range(2))
    with np.errstate(all="ignore"):
        found = RecordedFunction(relu_and_gradient)({}, x, d)[1]
        expected = relu_and_gradient({}, x, d)[1]
    bits = f"int{np.dtype(dtype).itemsize * 8}"
    np.testing.assert_array_equal(found[1].view(bits), expected[1].view(bits))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "function",
    [
        lambda state, x, d: ({}, np.where(x <= 0, 0.0, d * np.maximum(x, 0.0))),
        lambda state, x, d: (
            {},
            (np.maximum(x, 0.0) * 2.0, np.where(x <= 0, 0.0, np.maximum(x, 0.0))),
        ),
        lambda state, x, d: ({}, (np.maximum(x, 0.0) * 2.0, np.where(x <= 0, -0.0, d))),
        lambda state, x, d: ({}, (np.maximum(x, -0.0) * 2.0, np.where(x <= 0, 0.0, d))),
        lambda state, x, d: ({}, (np.maximum(x, 1.0) * 2.0, np.where(x <= 0, 0.0, d))),
        lambda state, x, d: ({}, (np.maximum(x, 0.0) * 2.0, np.where(x <= 1, 0.0, d))),
        lambda state, x, d: ({}, (np.maximum(d, 0.0) * 2.0, np.where(x <= 0, 0.0, d))),
        lambda state, x, d: ({}, (np.maximum(x, 0.0) * 2.0, np.where(x <= 0, 0.0, d[0, :]))),
    ],
)
def test_another_choice_is_left_to_the_mask(function):
    one = np.ones((80, 40), np.float32)
    plan = recorded(function, x=one, d=one)
    assert names(passes.select_by_result(plan)) == names(plan)


def test_where_numpy_makes_a_negative_zero_the_mask_stays(monkeypatch):
    monkeypatch.setattr("koubai.compile.passes.bits._gives_no_minus_zero", lambda dtype: False)
    one = np.ones((80, 40), np.float32)
    plan = recorded(relu_and_gradient, x=one, d=one)
    assert names(passes.select_by_result(plan)) == names(plan)


@pytest.mark.parametrize("shape", [(), (0, 5), (7,), (3000, 20), (1001, 300), (40, 30, 200)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint64"])
def test_the_larger_of_an_array_and_a_number(shape, dtype):
    def function(state, x):
        y = np.maximum(x + x, 3)
        return {}, (np.minimum(y, 9) + y, np.maximum(x, 2))

    x = np.random.default_rng(0).integers(0, 9, shape).astype(dtype)
    found = RecordedFunction(function)({}, x)[1]
    for one, other in zip(found, function({}, x)[1], strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@pytest.mark.parametrize(("inner", "by_columns"), [(50, True), (512, False)])
def test_scores_lie_by_columns_unless_their_product_is_long(inner, by_columns):
    def scores(state, h, W):
        y = h @ W
        return {}, np.sum(y + 1.0)

    plan = recorded(scores, h=np.ones((256, inner)), W=np.ones((inner, 10)))
    product, added, _ = passes.short_rows_by_columns(plan).operations
    assert (product.result.by_columns, added.result.by_columns) == (by_columns, True)


def test_a_product_of_few_terms_is_written_block_by_block():
    def function(state, h, d):
        h, d = h + 1.0, d - 1.0
        dh = np.where(h <= 0, 0.0, d @ state["W"].T)
        return {"W": state["W"] - 0.1 * (h.T @ d)}, np.sum(dh) + np.sum(np.maximum(h, 0.0))

    rng = np.random.default_rng(0)
    h, d = rng.standard_normal((1001, 400)), rng.standard_normal((1001, 10))
    state = {"W": rng.standard_normal((400, 10))}
    run = RecordedFunction(function)
    found, total = run({"W": state["W"].copy()}, h, d)
    expected, total_expected = function(state, h, d)
    np.testing.assert_allclose(found["W"], expected["W"], rtol=1e-12)
    np.testing.assert_allclose(total, total_expected, rtol=1e-10)
    source = run.plan.source.splitlines()
    assert any(line.startswith("        matmul(") for line in source)


def test_pass_gives_a_new_plan():
    plan = recorded(lambda state, x: ({}, np.sum(np.maximum(x, 0) * 1)), x=np.ones((5, 3)))
    before = plan.operations
    for each in PLAIN:
        each(plan)
        assert plan.operations is before


def test_buffers_are_used_again():
    def function(state, x):
        for _ in range(20):
            x = np.tanh(x) @ np.ones((8, 8))
        return {}, np.sum(x)

    plan = passes.simplify(
        recorded(function, x=np.ones((8, 8))), (*passes.FIRST, *passes.ON_THE_HOST, *passes.LAST)
    )
    assert len(place_in_memory(plan).buffers) <= 4


def test_large_arrays_of_other_dimensions_do_not_share_a_loop():
    def function(state, x, u):
        y, z = x + 1.0, u * 1.0
        for _ in range(3):
            z = z + 1.0
            y = y * 2.0
        w = state["b"] * 2.0  # not in place
        y = np.exp(-y * y) + y
        return state, (y + 0.5, z + w)

    rng = np.random.default_rng(0)
    x, u, b = (rng.standard_normal(shape) for shape in ((300, 600), (300, 30, 20), (300, 30, 20)))
    run = RecordedFunction(function)
    found = run({"b": b}, x, u)[1]
    for one, other in zip(found, function({"b": b}, x, u)[1], strict=True):
        np.testing.assert_allclose(one, other)
    written = [line for line in run.plan.source.splitlines() if "out=" in line]
    in_loops = [line for line in written if line.startswith("        ")]
    assert in_loops
    assert all(line.endswith("_rows)") for line in in_loops)


def compare(function, state, *inputs):
    """See that a function gives compiled what it gives as it is written."""
    with np.errstate(all="ignore"):
        expected = function(dict(state), *inputs)
        copies = {name: np.array(array) for name, array in state.items()}
        found = RecordedFunction(function)(copies, *inputs)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-12)
    for name, array in expected[0].items():
        np.testing.assert_allclose(found[0][name], array, rtol=1e-12)


def test_no_block_writes_over_what_another_one_reads_whole():
    rng = np.random.default_rng(0)

    def product(state, x):
        h = state["a"] @ state["w"].T
        return state, np.sum(np.where(h > 0.5, h * h, 1.5), axis=1)

    # The copy of w.T has as many bytes as the mask.
    state = {"a": rng.standard_normal((128, 16)), "w": rng.standard_normal((1024, 16))}
    compare(product, state, np.ones(1))

    def row(state, r):
        big = state["b"] * 2.0
        return state, np.sum(np.where(big + np.exp(r) > 0.5, big, 1.5), axis=1)

    compare(row, {"b": rng.standard_normal((8, 16384))}, rng.standard_normal((1, 16384)))


def test_the_gradient_of_relu_times_a_matrix_of_few_columns():
    rng = np.random.default_rng(0)
    affines = [Affine(rng.standard_normal(s) / 9, np.zeros(s[1])) for s in ((20, 100), (100, 8))]
    last = Affine(rng.standard_normal((8, 10)), np.zeros(10))
    net = Network([affines[0], Relu(), affines[1], Relu(), last])
    x, t = rng.standard_normal((2000, 20)), rng.integers(0, 10, 2000)
    by_hand, step = net.copy(), koubai.compile_step(net, SGD(0.1))
    for _ in range(3):
        step(x, t)
        SGD(0.1).update(by_hand.params, by_hand.gradient(x, t))
    for name, expected in by_hand.params.items():
        np.testing.assert_allclose(net.params[name], expected, rtol=1e-10)


def test_names_do_not_meet_those_that_the_replay_makes():
    def function(state, x, x_rows, address, x_T, v0, number_5):
        t = np.exp(x * 2.0 + 1.0) * x_rows * address
        return {"w": state["w"] + t, "w_rows": state["w_rows"]}, t @ x_T + v0 + number_5

    rng = np.random.default_rng(0)
    x, x_rows = rng.standard_normal((600, 300)), rng.standard_normal((1, 300))
    state = {"w": x + 1.0, "w_rows": x_rows}
    more = rng.standard_normal((300, 8)), rng.standard_normal(8), rng.standard_normal((600, 8))
    compare(function, state, x, x_rows, rng.standard_normal((1, 300)), *more)


def test_a_view_may_be_the_new_state():
    compare(
        lambda state, x: ({"a": np.reshape(x + 1.0, (3, 2))}, np.sum(x)),
        {"a": np.zeros((2, 3))},
        np.arange(6.0),
    )


# Other ways to replay: without BLAS, and another library


class Lookalike:
    """A library with NumPy's functions that is not NumPy; where it looks up, it is like CuPy."""

    def take(self, table, indices, axis=None, out=None):
        return np.take(table, indices, axis=axis, out=out, mode="wrap")

    def __getattr__(self, name):
        return getattr(np, name)


@pytest.fixture(params=["numpy", "no blas", "another library", "torch's products", "all is large"])
def way(request, monkeypatch):
    """Replay in one of these ways."""
    if request.param == "no blas":
        monkeypatch.setattr(blas, "available", lambda: False)
    elif request.param in {"another library", "torch's products"}:
        make = another if request.param == "another library" else by_torch
        numpy = type(koubai.device("cpu").backend)
        monkeypatch.setattr(numpy, "compile", lambda self, function, device: make(function))
    elif request.param == "all is large":
        bounds = "blocks.LARGE scope.LARGE operations.LARGE blocks._CACHE"
        for name in f"{bounds} passes.bits._FEW passes.products._FEW".split():
            monkeypatch.setattr(f"koubai.compile.{name}", 1)
    return request.param


def another(function):
    return RecordedFunction(function, library=Lookalike(), scope=nullcontext)


def by_torch(function):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from koubai_torch import products

    return RecordedFunction(function, products=products)


@pytest.mark.parametrize("optimizer", [SGD, Momentum])
@pytest.mark.parametrize("loss", ["integers", "regression"])
def test_every_way_gives_what_the_layers_give(way, loss, optimizer, same_training):
    def make():
        rng = np.random.default_rng(0)
        sizes = [(6, 40), (40, 40), (40, 20), (20, 3)]
        affines = [Affine(rng.standard_normal(s) / s[0], np.zeros(s[1])) for s in sizes]
        rows = [affines[0], Relu(), affines[1], Sigmoid(), affines[2], Tanh(), affines[3]]
        return Network(rows, IdentityWithLoss() if loss == "regression" else None)

    rng = np.random.default_rng(1)
    batches = []
    for n in (80, 80, 30, 1, 80):
        t = rng.integers(0, 3, n) if loss == "integers" else rng.standard_normal((n, 3))
        batches.append((rng.standard_normal((n, 6)), t))
    same_training(make, lambda: optimizer(0.1), batches * 4, 1e-12)


def test_bad_label_is_seen_in_every_way(way):
    net = TwoLayerNet(4, 6, 3, device="cpu", rng=0)
    step = koubai.compile_step(net, SGD(0.1))
    x, t = np.ones((2, 4), np.float32), np.asarray([0, 1])
    step(x, t)
    before = net.params["W1"].tolist()
    with pytest.raises(koubai.errors.LabelError, match="5"):
        step(x, np.asarray([0, 5]))
    assert net.params["W1"].tolist() == before


def test_without_blas_no_pass_asks_for_it(monkeypatch):
    monkeypatch.setattr(blas, "available", lambda: False)
    step, *_ = trained(TwoLayerNet(784, 50, 10, rng=0, device="cpu"), 784)
    assert "gemm" not in step.plan.source
    assert "join_products" not in str(step.plan)


# The contract of Backend.compile


def test_state_may_be_of_arrays_and_numbers(way):
    def function(state, x):
        new = {"W": state["W"] * state["rate"] + x, "rate": state["rate"] * 0.5}
        return new, (np.sum(state["W"]), state["W"] + 0)

    run = koubai.device("cpu").backend.compile(function, "")
    ours, theirs = ({"W": np.ones((3, 2)), "rate": 0.5} for _ in range(2))
    for i in range(4):
        ours, found = run(ours, np.full((3, 2), float(i)))
        theirs, expected = function(theirs, np.full((3, 2), float(i)))
        np.testing.assert_allclose(ours["W"], theirs["W"])
        assert ours["rate"] == theirs["rate"]
        np.testing.assert_allclose(found[0], expected[0])
        np.testing.assert_allclose(found[1], expected[1])


def test_state_may_be_exchanged(way):
    run = koubai.device("cpu").backend.compile(
        lambda state, x: ({"W": state["W"] + x}, np.sum(state["W"])), ""
    )
    x = np.ones((3, 2))
    one, other = {"W": np.zeros((3, 2))}, {"W": np.full((3, 2), 10.0)}
    for i in range(3):
        one, loss = run(one, x)
        assert loss == 6 * i
        other, loss = run(other, x)
        assert loss == 60 + 6 * i


@pytest.mark.parametrize(
    "pair", [("v0", "v1"), ("v1", "v0"), ("empty", "inf"), ("a.b", "a_b")], ids=str
)
def test_names_do_not_meet(pair):
    first, second = pair

    def function(state, x):
        total = state[first] * 2 + x
        return {first: total, second: state[second] * total}, np.sum(total)

    run = koubai.device("cpu").backend.compile(function, "")
    ours, theirs = ({first: np.ones(3), second: np.arange(3.0)} for _ in range(2))
    for _ in range(3):
        ours, _loss = run(ours, np.ones(3))
        theirs, _loss = function(theirs, np.ones(3))
    for name in pair:
        np.testing.assert_allclose(ours[name], theirs[name])


def test_inputs_may_have_any_name():
    run = koubai.device("cpu").backend.compile(lambda state, v0, v1: ({}, (v0 * 2 + v1) * v0), "")
    assert run({}, np.ones(3), np.arange(3.0))[1].tolist() == [2, 3, 4]


UPDATES = {
    "transposed": lambda s, x: {"A": (s["A"].T * 0.5 + x).T},
    "part of more": lambda s, x: {"A": np.concat([s["A"], x])[3:7, :] * 1.0},
    "part as it is": lambda s, x: {"A": np.concat([s["A"] * 0.5, x])[2:6, :]},
    "one number": lambda s, x: {"A": np.broadcast_to(np.mean(s["A"]) + x[0, 0], (4, 4))},
    "rows back": lambda s, x: {"A": (s["A"] * 0.5 + x)[::-1, :]},
    "other shape between": lambda s, x: {
        "A": np.reshape(np.reshape(s["A"], (16,)) * 0.5, (4, 4)) + x
    },
    "the other": lambda s, x: {"A": s["B"], "B": s["A"]},
    "the other's transpose": lambda s, x: {"A": s["B"].T, "B": s["A"].T},
    "its own transpose": lambda s, x: {"A": s["A"].T},
    "the input": lambda s, x: {"A": x},
    "the same for both": lambda s, x: {"A": s["A"] + x, "B": s["A"] + x},
    "one after the other": lambda s, x: {"A": (a := s["A"] * 0.5 + x), "B": s["B"] @ a + s["A"]},
    "read again later": lambda s, x: {"A": s["A"] + x, "B": np.tanh(s["B"] @ s["A"].T) + s["A"]},
    "product into itself": lambda s, x: {"A": s["A"] - 0.1 * (s["A"].T @ s["A"])},
    "product with the other": lambda s, x: {
        "A": s["A"] - 0.1 * (s["B"].T @ x),
        "B": 0.5 * s["B"] + x,
    },
}


@pytest.mark.parametrize("name", UPDATES)
def test_update_gives_what_numpy_gives(way, name):
    def function(state, x):
        new = {**state, **UPDATES[name](state, x)}
        return new, np.sum(new["A"]) + np.sum(state["B"])

    assert_same_runs(function)


OPERATIONS = [
    lambda a, b: a + b,
    lambda a, b: a * 0.5 - b,
    lambda a, b: np.tanh(a),
    lambda a, b: np.maximum(a, 0.0),
    lambda a, b: np.where(a <= 0, 0.0, b),
    lambda a, b: a.T,
    lambda a, b: a[::-1, :],
    lambda a, b: a - 0.1 * (b.T @ a),
    lambda a, b: a @ b + np.sum(b, axis=0),
    lambda a, b: a * np.sum(a * b),
    lambda a, b: np.broadcast_to(np.mean(a, axis=0), a.shape),
    lambda a, b: np.concat([a[2:, :], b[:2, :]]),
    lambda a, b: a - np.max(b, axis=1, keepdims=True),
]


@given(
    steps=st.lists(
        st.tuples(st.integers(0, len(OPERATIONS) - 1), st.integers(0, 9), st.integers(0, 9)),
        min_size=3,
        max_size=14,
    ),
    kept=st.tuples(*[st.integers(0, 9)] * 3),
)
@settings(derandomize=True, deadline=None, max_examples=100, database=None)
@pytest.mark.parametrize("library", [np, Lookalike()], ids=["numpy", "another library"])
def test_random_step_gives_what_numpy_gives(library, steps, kept):
    def function(state, x):
        pool = [x, state["A"], state["B"]]
        for kind, i, j in steps:
            pool.append(
                np.tanh(OPERATIONS[kind](pool[-1 - i % len(pool)], pool[-1 - j % len(pool)]))
            )
            if kind in {5, 6, 10, 11}:  # without tanh: a view stays a view
                a, b = pool[-1 - i % len(pool)], pool[-1 - j % len(pool)]
                pool.append(OPERATIONS[kind](a, b))
        a, b, out = (pool[-1 - i % len(pool)] for i in kept)
        return {"A": a, "B": b}, out

    assert_same_runs(function, lambda f: RecordedFunction(f, library=library))


# Plans, and how they are run


def assert_same_runs(function, compiled=None):
    """See that a function does the same compiled, for several runs on the same state."""
    run = compiled(function) if compiled else koubai.device("cpu").backend.compile(function, "")
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((4, 4)), rng.standard_normal((4, 4))
    ours, theirs = {"A": A.copy(), "B": B.copy()}, {"A": A, "B": B}
    outputs = []
    for _ in range(3):
        x = 0.5 * rng.standard_normal((4, 4))
        given = x.copy()
        ours, found = run(ours, x)
        theirs, expected = function(theirs, x)
        outputs.append((found, expected))
        for name in theirs:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-9)
        assert (x == given).all()
    for found, expected in outputs:  # also those of earlier runs
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def recorded(function, **inputs):
    return record(function, {}, inputs)[0]


def names(plan):
    return [operation.name for operation in plan.operations]


def trained(net, d, optimizer=None):
    """Give a step that has run once, and its batch."""
    rng = np.random.default_rng(0)
    x = rng.random((100, d), dtype=np.float32)
    t = rng.integers(0, 10, 100)
    step = koubai.compile_step(net, optimizer or SGD(0.1))
    step(x, t)
    return step, x, t


def test_source_is_there_for_a_traceback_as_long_as_the_plan():
    def sources():
        return {name for name in linecache.cache if name.startswith("<koubai plan")}

    def made():
        return RecordedFunction(lambda state, x: ({"a": state["a"] + x}, np.sum(x)))

    before = sources()
    compiled = made()
    for _ in range(5):  # other arrays each time
        compiled({"a": np.zeros(3)}, np.ones(3))
    (own,) = sources() - before
    del compiled
    gc.collect()
    made()({"a": np.zeros(3)}, np.ones(3))  # the next plan sweeps
    assert own not in sources()
