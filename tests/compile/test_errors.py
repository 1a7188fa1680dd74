"""What cannot be compiled says which line it was; what goes wrong leaves all as it was."""

import numpy as np
import pytest

import koubai
from koubai import SGD, Momentum, Network, Relu, TwoLayerNet, to_numpy
from koubai.errors import CompileError, KoubaiError, LabelError, MixedArraysError, ShapeError


def read(x):
    return x * float(x[0, 0])


def read_an_integer(x):
    return x * int(x[0, 0])


def ask_for_the_item(x):
    return x * x[0, 0].item()


def branch(x):
    if x[0, 0] > 0:
        return x
    return -x


def decide(x):
    return (x[0, 0] > 0 and x) + x


def walk(x):
    return sum(row * 2 for row in x)


def unpack(x):
    first, *_ = x
    return first


def mask(x):
    return x[x > 0]


def find(x):
    return koubai.array_namespace(x).nonzero(x)[0]


def find_different(x):
    return koubai.array_namespace(x).unique_values(x)


def write(x):
    y = x * 2
    y[0, 0] = 1.0
    return y


def write_more(x):
    y = x * 2
    y[0, 0] += 1.0
    return y


def method(x):
    return x.sum()


def numpy_out(x):
    return np.add(x, 1, out=np.empty_like(np.ones((3, 2))))


def to_host(x):
    return x + np.asarray(x)


FOR_ALL = {
    read: ("float(x[0, 0])", "after the step"),
    read_an_integer: ("int(x[0, 0])", "after the step"),
    branch: ("if x[0, 0] > 0:", "xp.where"),
    decide: ("x[0, 0] > 0 and x", "xp.where"),
    mask: ("return x[x > 0]", "xp.where"),
    find: ("nonzero(x)", "xp.where"),
    find_different: ("unique_values(x)", "xp.where"),
    to_host: ("np.asarray(x)", "after the step"),
}
RECORDED_ONLY = {
    ask_for_the_item: (".item()", "after the step"),
    walk: ("for row in x", "whole array"),
    unpack: ("first, *_ = x", "whole array"),
    write: ("y[0, 0] = 1.0", "xp.where"),  # JAX itself refuses it, eager as well
    write_more: ("y[0, 0] += 1.0", "xp.where"),
    numpy_out: ("np.add(x, 1", "namespace"),
}


@pytest.mark.parametrize("function", FOR_ALL)
def test_what_cannot_be_compiled_says_which_line_it_was(recorder, function):
    line, instead = FOR_ALL[function]
    x = recorder.asarray(np.ones((3, 2)), dtype="float32")
    with pytest.raises(CompileError) as raised:
        koubai.compile(function)(x)
    told = str(raised.value)
    assert __file__ in told
    assert line in told
    assert f"in {function.__name__}" in told
    assert instead in told or recorder.backend.name != "numpy"


@pytest.mark.parametrize("function", RECORDED_ONLY)
def test_what_cannot_be_recorded_says_which_line_it_was(function):
    line, instead = RECORDED_ONLY[function]
    with pytest.raises((CompileError, AttributeError)) as raised:
        koubai.compile(function)(np.ones((3, 2)))
    told = str(raised.value)
    assert instead in told or "namespace" in told
    if isinstance(raised.value, CompileError):
        assert __file__ in told
        assert line in told


def test_method_of_numpy_names_the_function():
    with pytest.raises(AttributeError, match=r"'sum'.*xp\.sum\(x"):
        koubai.compile(method)(np.ones((3, 2)))


def test_line_number_is_that_of_the_line():
    with pytest.raises(CompileError) as raised:
        koubai.compile(read)(np.ones((3, 2)))
    assert f"line {read.__code__.co_firstlineno + 1}," in str(raised.value)


def test_layer_and_optimizer_are_found_in_a_step(recorder):
    class Reading:
        def forward(self, x):
            self.largest = float(koubai.array_namespace(x).max(x))
            return x / self.largest

        def backward(self, dout):
            return dout / self.largest

    class Deciding:
        def update(self, params, grads):
            for key in params:
                if grads[key][0, ...].shape == () and grads[key][0] > 0:
                    params[key] -= grads[key]

    x, t = batch(recorder)
    net = Network([*small(recorder).layers.values(), Reading()])
    before = values(net)
    with pytest.raises(CompileError, match=r"self\.largest = float"):
        koubai.compile_step(net, SGD())(x, t)
    with pytest.raises(CompileError, match=r"if grads\[key\]"):
        koubai.compile_step(small(recorder), Deciding())(x, t)
    assert values(net) == before


def test_function_of_numbers_that_python_has_is_told():
    class Book:
        iter = 0

        def update(self, params, grads):
            self.iter += 1
            for key in params:
                params[key] -= 0.1 * np.sqrt(self.iter) * grads[key]

    x, t = batch(koubai.device("cpu"))
    optimizer = Book()
    optimizer.iter = 0
    with pytest.raises(CompileError, match=r"np\.sqrt\(self\.iter\)"):
        koubai.compile_step(small(koubai.device("cpu")), optimizer)(x, t)


# After a mistake all is as before


def wrong_label(place, x, t):
    return x, place.asarray([0, 2, 1, 1, 0, 2, 5])


def negative_label(place, x, t):
    return x, place.asarray([0, 2, -1, 1, 0, 2, 1])


def row_that_is_none(place, x, t):
    return x, place.asarray(np.full((7, 3), 2.0), dtype="float32")


def not_a_number(place, x, t):
    return x, place.asarray(np.full((7, 3), np.nan), dtype="float32")


@pytest.mark.parametrize("spoil", [wrong_label, negative_label, row_that_is_none, not_a_number])
@pytest.mark.parametrize("when", [0, 1, 3])
@pytest.mark.parametrize("spec", ["numpy", "torch:cpu", "array_api_strict:device1"])
def test_bad_label_changes_nothing(spec, spoil, when, distance):
    if spec not in {each.device for each in koubai.devices() if each.state == "works"}:
        pytest.skip(f"{spec} does not work here")
    place = koubai.device(spec)
    net, other = small(place), small(place)
    step, by_hand = koubai.compile_step(net, Momentum(0.1)), Momentum(0.1)
    x, t = batch(place)
    for i in range(6):
        if i == when:
            before, v = values(net), velocities(step)
            for _ in range(2):
                with pytest.raises(LabelError, match="SoftmaxWithLoss: t"):
                    step(*spoil(place, x, t))
            assert (values(net), velocities(step)) == (before, v)
        step(x, t)
        by_hand.update(other.params, other.gradient(x, t))
    assert distance(other, net) <= 1e-6


def test_bad_target_of_a_regression_changes_nothing(distance):
    place = koubai.device("cpu")
    net, other = (
        Network(list(small(place).layers.values()), koubai.IdentityWithLoss()) for _ in range(2)
    )
    step, by_hand = koubai.compile_step(net, SGD(0.1)), SGD(0.1)
    x, t = batch(place)[0], np.ones((7, 3), np.float32)
    for _ in range(3):
        before = values(net)
        with pytest.raises(LabelError, match="finite"):
            step(x, t * np.float32(np.inf))
        assert values(net) == before
        step(x, t)
        by_hand.update(other.params, other.gradient(x, t))
    assert distance(other, net) <= 1e-6


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_state_of_a_layer_is_as_before_a_bad_label():
    place = koubai.device("cpu")
    net = Network([*small(place).layers.values(), Mean()])
    step = koubai.compile_step(net, SGD(0.1))
    x, t = batch(place)
    for _ in range(3):
        before = net.layers["Mean1"].running_mean.tolist()
        with pytest.raises(LabelError):
            step(*wrong_label(place, x + 1, t))
        assert net.layers["Mean1"].running_mean.tolist() == before
        step(x, t)
        assert net.layers["Mean1"].running_mean.tolist() != before


def test_label_that_is_out_of_range_makes_the_loss_nan_where_nobody_looks(batch_of_jax):
    place, x, t = batch_of_jax
    loss = koubai.compile_step(small(place), SGD(0.1))(*wrong_label(place, x, t))
    assert np.isnan(float(loss))


BAD = {
    "width": (lambda x, t: (x[:, :3], t), ShapeError, "Affine"),
    "too few labels": (lambda x, t: (x, t[:4]), ShapeError, "labels"),
    "no samples": (lambda x, t: (x[:0, ...], t[:0]), ShapeError, "empty|at least one"),
    "a list": (lambda x, t: (x, [0] * 7), KoubaiError, "list"),
}


@pytest.mark.parametrize("case", BAD)
def test_batch_that_does_not_fit_changes_nothing(place, case, distance):
    spoil, error, words = BAD[case]
    net, other = small(place), small(place)
    step, by_hand = koubai.compile_step(net, Momentum(0.1)), Momentum(0.1)
    x, t = batch(place)
    for _ in range(3):
        before = values(net)
        with pytest.raises(error, match=words):
            step(*spoil(x, t))
        assert values(net) == before
        step(x, t)
        by_hand.update(other.params, other.gradient(x, t))
    assert distance(other, net) <= 1e-6


def test_batch_of_another_library_changes_nothing(place):
    if place.backend.name == "numpy":
        pytest.skip("NumPy is the host")
    net = small(place)
    step = koubai.compile_step(net, SGD(0.1))
    x, t = batch(place)
    for _ in range(2):
        before = values(net)
        with pytest.raises(MixedArraysError):
            step(to_numpy(x), to_numpy(t))
        with pytest.raises(MixedArraysError):
            step(x, to_numpy(t))
        assert values(net) == before
        step(x, t)


def test_layer_that_raises_leaves_the_network_usable(place, distance):
    class Fuse(Relu):
        blown = ""

        def backward(self, dout):
            if self.blown:
                raise ZeroDivisionError(self.blown)
            return super().backward(dout)

    def make():
        first, _, last = small(place).layers.values()
        return Network([first, Fuse(), last])

    net, other = make(), make()
    step, by_hand = koubai.compile_step(net, Momentum(0.1)), Momentum(0.1)
    x, t = batch(place)
    net.layers["Fuse1"].blown = ""
    for i in range(4):
        if i % 2 == 0:
            net.layers["Fuse1"].blown = "now"
            before = values(net)
            with pytest.raises(ZeroDivisionError, match="now"):
                step(x, t)
            assert values(net) == before
            net.layers["Fuse1"].blown = ""
        step(x, t)
        by_hand.update(other.params, other.gradient(x, t))
    assert distance(other, net) <= 1e-6


def test_optimizer_that_raises_leaves_the_network_usable(recorder):
    class Failing(SGD):
        broken = False

        def update(self, params, grads):
            super().update(params, grads)
            if self.broken:
                raise ZeroDivisionError

    net, optimizer = small(recorder), Failing(0.1)
    optimizer.broken = True
    step = koubai.compile_step(net, optimizer)
    x, t = batch(recorder)
    for _ in range(2):
        before = values(net)
        with pytest.raises(ZeroDivisionError):
            step(x, t)
        assert values(net) == before
    optimizer.broken = False
    step(x, t)
    assert values(net) != before


def test_parameters_on_two_devices_are_refused():
    net = small(koubai.device("array_api_strict:device1"))
    other = small(koubai.device("array_api_strict:device2"))
    net.layers["Affine2"] = other.layers["Affine2"]
    with pytest.raises(MixedArraysError, match="W2"):
        koubai.compile_step(net, SGD())


class Mean:
    """A layer that remembers."""

    state = ("running_mean",)

    def __init__(self):
        self.running_mean = np.zeros(3, np.float32)

    def forward(self, x):
        xp = koubai.array_namespace(x)
        self.running_mean = 0.5 * self.running_mean + 0.5 * xp.mean(x, axis=0)
        return x * 1.0

    def backward(self, dout):
        return dout


@pytest.fixture
def batch_of_jax():
    if "jax:cpu" not in {each.device for each in koubai.devices() if each.state == "works"}:
        pytest.skip("JAX is not there")
    place = koubai.device("jax:cpu")
    return place, *batch(place)


def small(place):
    return TwoLayerNet(4, 6, 3, 0.5, device=place, rng=0)


def batch(place):
    x = np.random.default_rng(1).standard_normal((7, 4))
    return place.asarray(x, dtype="float32"), place.asarray([0, 2, 1, 1, 0, 2, 2])


def values(network):
    return {key: to_numpy(array).tobytes() for key, array in network.params.items()}


def velocities(step):
    return {key: to_numpy(array).tobytes() for key, array in (step.optimizer.v or {}).items()}
