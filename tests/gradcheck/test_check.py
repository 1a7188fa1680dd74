"""check_gradients: passes what is right, fails what is wrong, and tells a kink from both."""

import copy
import warnings
from contextlib import contextmanager
from functools import wraps

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import koubai
from koubai import (
    Affine,
    IdentityWithLoss,
    MulLayer,
    Network,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    Tanh,
    TwoLayerNet,
    check_gradients,
)
from koubai.errors import DTypeError, KoubaiError, MixedArraysError, ShapeError
from koubai.gradcheck.cases import CASES

MODES = ["array", "joint", "element"]
RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 4))
LABELS = np.asarray([1, 3, 0, 2, 1])

same_every_time = settings(derandomize=True, deadline=None, max_examples=30)
sizes = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)


def affine(inputs, outputs, seed=0):
    rng = np.random.default_rng(seed)
    return Affine(rng.standard_normal((inputs, outputs)), rng.standard_normal(outputs))


class WrongInOnePlace(Sigmoid):
    def backward(self, dout):
        dx = super().backward(dout)
        dx[2, 1] += 0.5
        return dx


class TwiceRelu(Relu):
    def backward(self, dout):
        return 2.0 * super().backward(dout)


# The modes


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_all_modes_pass_what_is_right(case, mode):
    target, inputs = case.make(koubai.device("cpu"), "float64")
    report = check_gradients(target, *inputs, mode=mode).raise_if_failed()
    assert report.worst.error < 1e-7


@pytest.mark.parametrize("mode", MODES)
def test_all_modes_fail_what_is_wrong(mode):
    (row,) = check_gradients(WrongInOnePlace(), X, mode=mode).rows
    assert row.verdict == "FAIL"


def test_a_single_wrong_element_of_many_is_found():
    class OneOfMany(Relu):
        def backward(self, dout):
            dx = super().backward(dout)
            dx[17, 3] += 1e-3
            return dx

    x = RNG.standard_normal((200, 200)) + 10
    assert check_gradients(Relu(), x).passed
    assert not check_gradients(OneOfMany(), x).passed


def test_rows_of_a_network_are_its_input_and_parameters():
    network = Network([affine(4, 3), Tanh(), affine(3, 4)])
    rows = check_gradients(network, X, LABELS).rows
    assert [row.name for row in rows] == ["x", "W1", "b1", "W2", "b2"]
    assert [row.shape for row in rows] == [(5, 4), (4, 3), (3,), (3, 4), (4,)]
    (row,) = check_gradients(network, X, LABELS, mode="joint").rows
    assert (row.name, row.shape) == ("all", (20 + 12 + 3 + 12 + 4,))


def test_element_mode_tells_the_worst_index_and_the_mean_difference():
    (row,) = check_gradients(WrongInOnePlace(), X, mode="element").rows
    assert row.worst == (2, 1)
    assert row.mean_difference == pytest.approx(0.5 / X.size, rel=1e-6)
    assert "worst at (2, 1), mean difference 2.5e-02" in row.remark


def test_tolerance_is_what_it_is_told():
    class SlightlyOff(Sigmoid):
        def backward(self, dout):
            return super().backward(dout) * (1 + 1e-5)

    assert not check_gradients(SlightlyOff(), X).passed
    assert check_gradients(SlightlyOff(), X, tolerance=1e-4).passed


# Kinks


@pytest.mark.parametrize("mode", MODES)
def test_kink_at_the_point_is_no_pass_and_no_fail(mode):
    (row,) = check_gradients(Relu(), np.asarray([0.0, 1.5, -2.0]), mode=mode).rows
    assert row.verdict == "KINK"
    assert "no derivative here" in row.remark
    if mode == "element":
        assert row.worst == (0,)


@pytest.mark.parametrize("mode", MODES)
def test_wrong_gradient_at_a_kink_is_no_pass(mode):
    assert not check_gradients(TwiceRelu(), np.asarray([0.0, 1.5, -2.0]), mode=mode).passed


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-6, 2e-7])
def test_kink_near_the_point_is_passed_by(distance, mode):
    x = np.asarray([distance, -distance, 1.5, -2.0])
    check_gradients(Relu(), x, mode=mode).raise_if_failed()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-6, 2e-7])
def test_wrong_gradient_near_a_kink_is_a_fail(distance, mode):
    x = np.asarray([distance, -distance, 1.5, -2.0])
    (row,) = check_gradients(TwiceRelu(), x, mode=mode).rows
    assert row.verdict == "FAIL"


# Rounding


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("score", "verdicts"), [(10.0, {"PASS"}), (18.0, {"PASS", "NOISE"}), (25.0, {"NOISE"})]
)
def test_terms_that_cancel_in_the_loss_are_neither_kink_nor_fail(score, verdicts, mode):
    confident = np.asarray([[0.0, score], [0.0, score - 1]]), np.asarray([1, 1])
    (row,) = check_gradients(SoftmaxWithLoss(), *confident, mode=mode).rows
    assert row.verdict in verdicts


class FarOff:
    """Large beside its slope, which is wrong."""

    def __init__(self, far):
        self.far = far

    def forward(self, x):
        return x + self.far

    def backward(self, dout):
        return -3 * dout


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("far", [0.0, 1e4, 1e8, 1e10, 1e15])
def test_wrong_gradient_of_a_large_output_never_passes(far, mode):
    report = check_gradients(FarOff(far), X, mode=mode)
    assert not report.passed
    assert {row.verdict for row in report.rows} <= {"FAIL", "NOISE"}


@pytest.mark.parametrize("mode", ["array", "joint"])
def test_large_inputs_do_not_fail_a_right_layer(mode):
    scores = 1000 + np.random.default_rng(0).standard_normal((5, 4))
    check_gradients(
        SoftmaxWithLoss(), scores, np.asarray([1, 3, 0, 2, 1]), mode=mode
    ).raise_if_failed()
    net = Network([affine(4, 5), Sigmoid(), affine(5, 4)])
    net.params["W1"] = 0.01 * net.params["W1"]
    pixels = np.random.default_rng(1).integers(0, 256, (5, 4)).astype(np.float64)
    check_gradients(net, pixels, LABELS, mode=mode).raise_if_failed()


class Remembers:
    """Keeps the first input for ever."""

    def forward(self, x):
        if "x" not in vars(self):
            self.x = x
        return x * x

    def backward(self, dout):
        return 2 * self.x * dout


class Adds:
    """Adds to its gradient instead of setting it."""

    def __init__(self):
        self.W = np.ones((4, 3))

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dout):
        self.dW = getattr(self, "dW", 0.0) + self.x.T @ dout
        return dout @ self.W.T


class NamesNothingBeforehand(Adds):
    """Has its dW only after backward, as many a reader's class; and a wrong one."""

    def backward(self, dout):
        self.dW = -5 * self.x.T @ dout
        return dout @ self.W.T


@pytest.mark.parametrize(
    ("layer", "name"), [(Remembers, "x"), (Adds, "W"), (NamesNothingBeforehand, "W")]
)
def test_what_is_left_over_from_an_earlier_run_is_a_fail(layer, name):
    report = check_gradients(layer(), X)
    assert [row.name for row in report.rows if row.verdict == "FAIL"] == [name]


def test_network_whose_gradient_is_not_that_of_its_backward_is_a_fail():
    class Astray(Affine):
        def backward(self, dout):
            return super().backward(dout)

        def backward_parameters(self, dout):
            super().backward_parameters(dout)
            self.db = 2 * self.db

    report = check_gradients(Network([Relu(), Astray(np.eye(4), np.ones(4))]), X, LABELS)
    assert not report.passed


def test_one_hot_labels_of_a_network_stay_labels_throughout():
    rows = np.eye(4)[[1, 3, 0, 2, 1]]
    check_gradients(Network([affine(4, 4)]), X, rows).raise_if_failed()


def test_zero_gradient_is_remarked():
    (row,) = check_gradients(Relu(), -np.ones((2, 3))).rows
    assert row.passed
    assert "proves little" in row.remark


def test_warning_for_users_is_a_failure():
    class Warns(Relu):
        def forward(self, x):
            warnings.warn("deprecated", stacklevel=2)
            return super().forward(x)

    assert "deprecated" in str(check_gradients(Warns(), X))


@pytest.mark.parametrize("mode", MODES)
def test_small_gradient_that_is_wrong_is_a_fail(mode):
    class SignTurned(SoftmaxWithLoss):
        def backward(self, dout=1):
            return -super().backward(dout)

    confident = np.asarray([[0.0, 10.0], [0.0, 9.0]]), np.asarray([1, 1])
    (row,) = check_gradients(SignTurned(), *confident, mode=mode).rows
    assert row.verdict == "FAIL"


# The cost


def count_losses(monkeypatch):
    calls = []
    original = Network.loss

    @wraps(original)
    def loss(self, x, t):
        calls.append(1)
        return original(self, x, t)

    monkeypatch.setattr(Network, "loss", loss)
    return calls


@pytest.mark.parametrize(("mode", "lines"), [("array", 5), ("joint", 1)])
def test_two_forward_passes_for_each_line_however_many_parameters(mode, lines, monkeypatch):
    calls = count_losses(monkeypatch)
    network = Network([affine(4, 30), Tanh(), affine(30, 4)])
    check_gradients(network, X, LABELS, mode=mode).raise_if_failed()
    assert len(calls) == 4 + 2 * lines  # the rest runs once forward and backward


def test_network_of_the_book_is_proved_in_a_few_forward_passes(monkeypatch):
    calls = count_losses(monkeypatch)
    network = TwoLayerNet(784, 50, 10, rng=0, dtype="float64")
    x, t = RNG.random((100, 784)), RNG.integers(0, 10, 100)
    report = check_gradients(network, x, t).raise_if_failed()
    assert report.worst.error < 1e-7
    # Each time that one of the 5,000 rectifiers turns on the way, five passes tell so and two
    # more go past it; a step is made smaller at most twice.
    assert len(calls) <= 4 + 2 * 5 + 2 * (7 + 2)


# What belongs to the caller


@pytest.mark.parametrize("spec", ["numpy", "array_api_strict:device1"])
@pytest.mark.parametrize("mode", MODES)
def test_target_and_inputs_are_neither_run_nor_changed(spec, mode):
    if spec != "numpy":
        pytest.importorskip("array_api_strict")
    place = koubai.device(spec)
    network = TwoLayerNet(4, 3, 4, 1.0, device=place, dtype="float64", rng=0)
    x, t = place.asarray(X, copy=True), place.asarray(LABELS, copy=True)
    layers = [*network.layers.values(), network.last_layer]
    before = [dict(vars(layer)) for layer in layers]
    values = copy.deepcopy(before)
    check_gradients(network, x, t, mode=mode).raise_if_failed()
    for layer, attributes, copies in zip(layers, before, values, strict=True):
        assert vars(layer).keys() == attributes.keys()
        for name, value in vars(layer).items():
            assert value is attributes[name]
            assert koubai.to_numpy(value).tolist() == koubai.to_numpy(copies[name]).tolist()
    assert koubai.to_numpy(x).tolist() == X.tolist()
    assert koubai.to_numpy(t).tolist() == LABELS.tolist()


def test_switches_are_handed_on_as_they_are():
    class Switched(Sigmoid):
        def forward(self, x, train_flg=True, name=None):
            assert train_flg is False
            assert name == "first"
            return super().forward(x)

    check_gradients(Switched(), X, False, "first").raise_if_failed()


def test_inputs_of_any_number_and_by_position_only():
    class Sum:
        def forward(self, *terms):
            self.n = len(terms)
            return sum(terms)

        def backward(self, dout, /):
            return (dout,) * self.n

    class Twice:
        def forward(self, x, /):
            return 2 * x

        def backward(self, dout, /):
            return 2 * dout

    rows = check_gradients(Sum(), X, X + 1, X + 2).raise_if_failed().rows
    assert [row.name for row in rows] == ["terms", "input 2", "input 3"]
    check_gradients(Twice(), X).raise_if_failed()


def test_inputs_come_read_only_and_strided():
    found = {}

    class Looks(Affine):
        def forward(self, x):
            found.update(x=x, W=self.W, b=self.b)
            return super().forward(x)

        def backward(self, dout):
            found["dout"] = dout
            return super().backward(dout)

    check_gradients(Looks(X.T.copy(), np.zeros(5)), X).raise_if_failed()
    for array in found.values():
        assert not array.flags.writeable
        assert not array.flags.c_contiguous


def test_settings_of_numpy_do_not_hide_a_warning():
    class Overflows(Sigmoid):
        def forward(self, x):
            self.out = 1 / (1 + np.exp(-x))
            return self.out

    with np.errstate(all="ignore"):
        (row,) = check_gradients(Overflows(), np.asarray([-1000.0])).rows
    assert (row.name, row.verdict) == ("forward", "FAIL")
    with np.errstate(all="raise"):  # an underflow is no defect
        check_gradients(Sigmoid(), np.asarray([-1000.0, 0.5])).raise_if_failed()


# Dtypes and devices


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_lower_dtype_is_held_against_float64(case, dtype):
    target, inputs = case.make(koubai.device("cpu"), dtype)
    report = check_gradients(target, *inputs).raise_if_failed()
    against = {row.against for row in report.rows}
    assert against == {"central difference"} | (
        {"float64"} if "numbers" not in case.name else set()
    )


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_gradient_that_is_wrong_in_a_lower_dtype_only_fails_there(dtype):
    class LosesDigits(Sigmoid):
        def backward(self, dout):
            dx = super().backward(dout)
            return dx if dx.dtype == np.float64 else dx * 1.1

    first, second = check_gradients(LosesDigits(), X.astype(dtype)).rows
    assert (first.against, first.verdict) == ("central difference", "PASS")
    assert (second.against, second.verdict) == ("float64", "FAIL")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_gradient_from_nothing_in_a_lower_dtype_fails(dtype):
    class FromNothing(SoftmaxWithLoss):
        def backward(self, dout=1):
            dx = super().backward(dout)
            return dx if dx.dtype == np.float64 else dx + 1

    one_class = X[:, :1].astype(dtype), np.zeros(5, np.int64)
    assert check_gradients(SoftmaxWithLoss(), *one_class).passed
    assert not check_gradients(FromNothing(), *one_class).passed


def test_digits_that_cancel_in_float32_are_no_defect():
    confident = np.asarray([[0.0, 18.0], [0.0, 17.0]], np.float32), np.asarray([1, 1])
    rows = check_gradients(SoftmaxWithLoss(), *confident).rows
    assert {row.verdict for row in rows} <= {"PASS", "NOISE"}


def test_device_without_float64_is_proved_on_numpy_and_compared():
    pytest.importorskip("array_api_strict")
    seen = []

    class Looks(Sigmoid):
        def forward(self, x):
            seen.append((str(koubai.backend.device_of(x)), str(x.dtype).rpartition(".")[2]))
            return super().forward(x)

    x = koubai.asarray(X, device="array_api_strict:no_float64", dtype="float32")
    rows = check_gradients(Looks(), x).raise_if_failed().rows
    assert [row.against for row in rows] == ["central difference", "float64"]
    assert set(seen) == {("numpy", "float64"), ("array_api_strict:no_float64", "float32")}


def test_layer_runs_in_the_scope_of_its_device(monkeypatch):
    inside, seen = [], []

    @contextmanager
    def scope(self, device):
        inside.append(device)
        yield
        inside.pop()

    class Looks(Sigmoid):
        def forward(self, x):
            seen.append(len(inside))
            return super().forward(x)

    monkeypatch.setattr(type(koubai.device("cpu").backend), "scope", scope)
    check_gradients(Looks(), X.astype(np.float32)).raise_if_failed()
    assert set(seen) == {1}


# Numbers


@pytest.mark.parametrize("numbers", [(100.0, 2.0), (100, 2)])
@pytest.mark.parametrize("mode", MODES)
def test_numbers_in_numbers_out(numbers, mode):
    check_gradients(MulLayer(), *numbers, mode=mode).raise_if_failed()


def test_numbers_are_handed_over_as_numbers():
    class Looks(MulLayer):
        def forward(self, x, y):
            assert type(x) is type(y) is float
            return super().forward(x, y)

        def backward(self, dout):
            assert type(dout) is float
            return super().backward(dout)

    check_gradients(Looks(), 100, 2.0).raise_if_failed()


@pytest.mark.parametrize("layer", [Relu(), Sigmoid(), Tanh()])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", MODES)
def test_arrays_without_dimension(layer, dtype, mode):
    check_gradients(layer, np.asarray(0.5, dtype), mode=mode).raise_if_failed()


# What is asked wrongly


@pytest.mark.parametrize(
    ("target", "inputs", "error", "words"),
    [
        (affine(6, 4), (X,), ShapeError, r"Affine: x has the shape \(5, 4\)"),
        (SoftmaxWithLoss(), (X, LABELS[:3]), ShapeError, "SoftmaxWithLoss: labels"),
        (Relu(), (np.asarray([1, 2]),), DTypeError, r"Relu\(\) has no gradient .*x: .*int64"),
        (Relu(), ([1.0, 2.0],), DTypeError, "Relu.*nothing that it takes is a float.*x: list"),
        (Relu(), (np.zeros((0, 4)),), DTypeError, "Relu.*no gradient to prove"),
        (SoftmaxWithLoss(), (LABELS, np.eye(5)[0]), DTypeError, "no gradient to prove.*t: .*float"),
        (SoftmaxWithLoss(), (X,), TypeError, "SoftmaxWithLoss takes x, t, but .* is 1: missing"),
        (Relu(), (X, X), TypeError, "Relu takes x, but .* is 2"),
        ("Relu", (X,), KoubaiError, "str has no forward and backward"),
    ],
)
def test_mistake_of_the_user_is_told_to_the_user(target, inputs, error, words):
    with pytest.raises(error, match=words):
        check_gradients(target, *inputs)


def test_unknown_mode_is_refused():
    with pytest.raises(KoubaiError, match="mode is 'elements', but array, joint or element"):
        check_gradients(Relu(), X, mode="elements")


def test_arrays_of_two_devices_are_not_moved_together():
    pytest.importorskip("array_api_strict")
    x = koubai.asarray(X, device="array_api_strict:device1")
    with pytest.raises(MixedArraysError, match="check_gradients: x, W and b"):
        check_gradients(affine(4, 3), x)


# The random directions


def test_same_rng_gives_the_same_report():
    def errors(rng):
        return [row.error for row in check_gradients(affine(4, 3), X, rng=rng).rows]

    assert errors(3) == errors(3) == errors(np.random.default_rng(3))
    assert errors(3) != errors(4)
    assert errors(0) == [row.error for row in check_gradients(affine(4, 3), X).rows]


# Properties


def never_fails(layer, *inputs):
    """A right layer passes, or at values where rounding hides its gradient says so."""
    report = check_gradients(layer, *inputs)
    assert {row.verdict for row in report.rows} <= {"PASS", "NOISE"}, report


@given(n=sizes, d=sizes, m=sizes, data=st.data())
@same_every_time
def test_affine_of_any_shape_and_values(n, d, m, data):
    W, b, x = (
        data.draw(arrays(np.float64, shape, elements=st.floats(-10, 10)))
        for shape in [(d, m), (m,), (n, d)]
    )
    never_fails(Affine(W, b), x)


@given(x=arrays(np.float64, st.tuples(sizes, sizes), elements=st.floats(-1000, 1000)))
@same_every_time
def test_sigmoid_of_any_shape_and_values(x):
    never_fails(Sigmoid(), x)


@given(n=sizes, m=sizes, data=st.data())
@same_every_time
def test_softmax_with_loss_of_any_shape_and_values(n, m, data):
    x = data.draw(arrays(np.float64, (n, m), elements=st.floats(-100, 100)))
    t = data.draw(arrays(np.int64, (n,), elements=st.integers(0, m - 1)))
    never_fails(SoftmaxWithLoss(), x, t)
    never_fails(SoftmaxWithLoss(), x, np.eye(m)[t])


@given(
    widths=st.lists(sizes, min_size=2, max_size=4),
    activations=st.lists(st.sampled_from([Relu, Sigmoid, Tanh]), min_size=3, max_size=3),
    classifies=st.booleans(),
    n=sizes,
    seed=seeds,
)
@same_every_time
def test_any_chain_of_layers(widths, activations, classifies, n, seed):
    rng = np.random.default_rng(seed)
    layers = []
    for inputs, outputs, activation in zip(widths, widths[1:], activations, strict=False):
        layers += [affine(inputs, outputs, rng), activation()]
    last_layer = SoftmaxWithLoss() if classifies else IdentityWithLoss()
    x = rng.standard_normal((n, widths[0]))
    shape = (n, widths[-1])
    t = rng.integers(0, widths[-1], n) if classifies else rng.standard_normal(shape)
    report = check_gradients(Network(layers, last_layer), x, t, rng=rng).raise_if_failed()
    assert len(report.rows) == 1 + 2 * (len(widths) - 1)
