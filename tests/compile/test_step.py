"""Compiled steps: the same as the layers by hand, for every network, batch and device."""

import copy
import gc
import weakref
from itertools import pairwise

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
    SoftmaxWithLoss,
    Tanh,
    TwoLayerNet,
    to_numpy,
)
from koubai.errors import KoubaiError, NotAnArrayError, ShapeError
from koubai.optimizers import (
    AdaGrad,
    Adam,
    AdamW,
    ClipNorm,
    Nesterov,
    RMSprop,
    Scheduled,
    WeightDecay,
    schedules,
)

TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
EXAMPLES = {"numpy": 30, "torch": 3, "array_api_strict": 2}  # a new shape is dear elsewhere
ACTIVATIONS = {"relu": Relu, "sigmoid": Sigmoid, "tanh": Tanh}


OPTIMIZERS = {
    "SGD, slow": lambda: SGD(0.01),
    "SGD": lambda: SGD(0.1),
    "Momentum, 0.5": lambda: Momentum(0.05, 0.5),
    "Momentum": lambda: Momentum(0.05),
    "Momentum, nesterov": lambda: Momentum(0.05, nesterov=True),
    "Nesterov": lambda: Nesterov(0.02),
    "AdaGrad": lambda: AdaGrad(0.01),
    "RMSprop": lambda: RMSprop(0.001),
    "Adam": lambda: Adam(0.001),
    "Adam, eps": lambda: Adam(0.001, eps=1e-8),
    "AdamW": lambda: AdamW(0.001),
    "WeightDecay": lambda: WeightDecay(Momentum(0.05), 0.01, prefix="W"),
    "ClipNorm": lambda: ClipNorm(SGD(0.1), 0.1),
    "Scheduled": lambda: Scheduled(SGD(), schedules.warm_up(10, schedules.cosine(0.1, 80))),
    "all": lambda: Scheduled(
        ClipNorm(WeightDecay(Adam(), 0.01), 1.0), schedules.step(0.002, every=30, factor=0.5)
    ),
}


# The same as by hand


@st.composite
def networks(draw):
    """Draw a network of 1 to 6 layers, a loss with its labels, an optimizer, and a batch."""
    kinds = draw(st.lists(st.sampled_from(["affine", *ACTIVATIONS]), min_size=0, max_size=5))
    kinds.insert(draw(st.integers(0, len(kinds))), "affine")
    affines = kinds.count("affine")
    widths = draw(st.lists(st.sampled_from([1, 3, 10, 50]), min_size=affines, max_size=affines))
    loss = draw(st.sampled_from(["integers", "one-hot", "regression"]))
    optimizer = draw(st.sampled_from(list(OPTIMIZERS)))
    return (
        kinds,
        [draw(st.sampled_from([1, 4, 33])), *widths],
        loss,
        optimizer,
        draw(st.sampled_from([1, 2, 7, 64])),
    )


def test_hundred_steps_are_those_of_the_layers(device, dtype, same_training):
    @given(networks())
    @settings(
        max_examples=EXAMPLES.get(device.backend.name, 1),
        derandomize=True,
        deadline=None,
        database=None,
    )
    def check(drawn):
        kinds, widths, loss, optimizer, n = drawn
        make = build(device, dtype, kinds, widths, loss)
        x, t = data(device, dtype, n, widths[0], widths[-1], loss)
        same_training(make, OPTIMIZERS[optimizer], [(x, t)] * 100, TOLERANCE[dtype])

    check()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_hundred_steps_of_every_optimizer(device, dtype, optimizer, same_training):
    if device != koubai.device(device.backend.name):
        pytest.skip("one device of each backend: a new shape is dear")
    make = build(device, dtype, ["affine", "tanh", "affine"], [4, 6, 3], "integers")
    batches = [data(device, dtype, 7, 4, 3, "integers", seed) for seed in range(10)]
    same_training(make, OPTIMIZERS[optimizer], batches * 10, TOLERANCE[dtype])


@pytest.mark.parametrize(
    ("loss", "optimizer"), [("integers", SGD), ("one-hot", Momentum), ("regression", SGD)]
)
def test_every_layer_loss_and_optimizer_on_every_device(place, loss, optimizer, same_training):
    make = build(
        place, "float32", ["affine", "relu", "affine", "tanh", "affine"], [4, 6, 5, 3], loss
    )
    batches = [data(place, "float32", 7, 4, 3, loss, seed) for seed in range(6)]
    same_training(make, lambda: optimizer(0.1), batches, 1e-6)


@pytest.mark.parametrize(
    ("sizes", "batch_size"),
    [((784, 50, 10), 100), ((20, 600, 600, 5), 500), ((3, 1, 1), 300), ((100, 2, 40), 1)],
    ids=str,
)
def test_networks_of_every_size_agree_on_numpy(sizes, batch_size, same_training):
    place = koubai.device("cpu")
    kinds = [kind for _ in sizes[1:] for kind in ("affine", "relu")][:-1]
    make = build(place, "float32", kinds, sizes, "integers")
    batches = [
        data(place, "float32", batch_size, sizes[0], sizes[-1], "integers", seed)
        for seed in range(5)
    ]
    same_training(make, lambda: Momentum(0.05), batches, 1e-6)


def test_images_are_flattened(place, same_training):
    make = build(place, "float32", ["affine", "relu", "affine"], [12, 6, 3], "integers")
    x, t = data(place, "float32", 5, 12, 3, "integers")
    x = koubai.array_namespace(x).reshape(x, (5, 3, 2, 2))
    same_training(make, lambda: SGD(0.1), [(x, t)] * 5, 1e-6)


def test_one_sample_instead_of_a_batch(place, same_training):
    make = build(place, "float32", ["affine", "relu", "affine"], [4, 6, 3], "integers")
    x, t = data(place, "float32", 5, 4, 3, "integers")
    same_training(make, lambda: SGD(0.1), [(x[i, ...], t[i]) for i in range(5)], 1e-6)


@pytest.mark.parametrize("kind", ["float32", "float64", ">f4"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batch_of_another_dtype_than_the_parameters(kind, dtype, same_training):
    place = koubai.device("cpu")
    make = build(place, dtype, ["affine", "relu", "affine"], [4, 6, 3], "integers")
    x, t = data(place, "float64", 7, 4, 3, "integers")
    same_training(make, lambda: Momentum(0.1), [(x.astype(kind), t)] * 5, 1e-6)


def test_training_learns(place, batch):
    net = small(place)
    step = koubai.compile_step(net, SGD(0.5))
    x, t = batch()
    losses = [float(step(x, t)) for _ in range(40)]
    assert losses[-1] < losses[0] / 2


# New shapes and dtypes


def test_ragged_last_batch(place, batch, same_training):
    batches = [batch(n, seed=i) for i, n in enumerate([7, 7, 3] * 4)]
    same_training(lambda: small(place), lambda: Momentum(0.1), batches, 1e-6)


def test_labels_may_change_their_kind(place, batch, same_training):
    x, t = batch()
    rows = place.asarray(np.eye(3)[to_numpy(t)], dtype="float32")
    small_t = place.asarray(to_numpy(t), dtype="int32")
    batches = [(x, t), (x, rows), (x, small_t)] * 3
    same_training(lambda: small(place), lambda: SGD(0.1), batches, 1e-6)


def test_records_are_kept_and_their_number_is_bounded():
    place = koubai.device("cpu")
    net = counting_network(place)
    step = koubai.compile_step(net, SGD(0.1))
    x, t = data(place, "float32", 12, 4, 3, "integers")
    for _ in range(2):
        for n in (7, 3, 12):
            step(x[:n, ...], t[:n])
    assert len(net.recorded) == 3
    for n in range(1, 13):
        step(x[:n, ...], t[:n])
    assert len(step._records) == 8
    net.recorded.clear()
    step(x[:12, ...], t[:12])
    assert not net.recorded
    step(x[:1, ...], t[:1])
    assert net.recorded


def test_new_learning_rate_needs_no_new_record(recorder, same_training):
    place = recorder
    counted = []

    def make():
        counted.append(counting_network(place))
        return counted[-1]

    def change(i, network, optimizer):
        optimizer.lr = 0.1 / (i + 1)

    batches = [data(place, "float32", 7, 4, 3, "integers")] * 6
    same_training(make, lambda: SGD(0.1), batches, 1e-6, change)
    assert len(counted[1].recorded) == 1


def test_learning_rate_may_be_changed_at_any_time(place, batch, same_training):
    def change(i, network, optimizer):
        optimizer.lr = [0.1, 0.01, 1, 0.0][i % 4]

    batches = [batch()] * 8
    same_training(lambda: small(place), lambda: Momentum(0.1), batches, 1e-6, change)


# What is handed in and out


def test_batch_is_not_kept(place):
    step = koubai.compile_step(small(place), Momentum(0.1))
    for i in range(4):
        x, t = data(place, "float32", 7, 4, 3, "integers", i)
        kept = weakref.ref(x), weakref.ref(t)
        step(x, t)
        del x, t
        gc.collect()
        assert [each() is None for each in kept] == [True, True], f"step {i}"


def test_batch_is_not_changed(place, batch):
    step = koubai.compile_step(small(place), Momentum(0.1))
    x, t = batch()
    before = to_numpy(x).tolist(), to_numpy(t).tolist()
    for _ in range(3):
        step(x, t)
    assert (to_numpy(x).tolist(), to_numpy(t).tolist()) == before


@pytest.mark.parametrize(
    "lay",
    [
        lambda x: x[:, ::-1],
        lambda x: x[::-1],
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: np.repeat(x, 3, axis=0)[1::3],
        lambda x: np.frombuffer(b"." + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
        lambda x: np.broadcast_to(x[:1], x.shape),
    ],
    ids=[
        "columns back",
        "rows back",
        "by columns",
        "every second",
        "rows",
        "unaligned",
        "repeated",
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_batch_may_lie_in_any_way(lay, read_only, same_training):
    place = koubai.device("cpu")
    batches = []
    for seed in range(4):
        x, t = data(place, "float32", 64, 40, 3, "integers", seed)
        x, t = lay(x).view(), np.repeat(t, 2)[::2]
        if read_only:
            x.flags.writeable = t.flags.writeable = False
        batches += [(x, t), (np.ascontiguousarray(x), np.ascontiguousarray(t))]
    make = build(place, "float32", ["affine", "relu", "affine"], [40, 50, 3], "integers")
    same_training(make, lambda: SGD(0.1), batches, 1e-6)


def test_batch_may_be_a_transpose(place, same_training):
    x, t = data(place, "float32", 4, 7, 3, "integers")
    t = place.asarray([0, 2, 1, 1, 0, 2, 2])
    make = build(place, "float32", ["affine", "relu", "affine"], [4, 6, 3], "integers")
    same_training(make, lambda: SGD(0.1), [(x.T, t)] * 4, 1e-6)


def test_inputs_may_be_targets(place, same_training):
    make = build(place, "float32", ["affine", "tanh", "affine"], [4, 3, 4], "regression")
    x, _ = data(place, "float32", 7, 4, 4, "regression")
    same_training(make, lambda: SGD(0.1), [(x, x)] * 5, 1e-6)


def test_loss_stays_when_the_next_step_runs(place, batch):
    step = koubai.compile_step(small(place), SGD(0.5))
    x, t = batch()
    losses, then = [], []
    for _ in range(5):
        losses.append(step(x, t))
        then.append(float(losses[-1]))
    assert [float(loss) for loss in losses] == then
    assert len(set(then)) == 5


def test_loss_is_that_before_the_update_on_the_place(place, batch):
    net = small(place)
    x, t = batch()
    before = float(net.loss(x, t))
    loss = koubai.compile_step(net, SGD(0.5))(x, t)
    assert float(loss) == pytest.approx(before, rel=1e-6)
    assert koubai.backend.device_of(loss) == place
    assert str(to_numpy(loss).dtype) == "float32"


# Many steps at a time


@pytest.mark.parametrize("optimizer", ["Momentum", "all"])
def test_epoch_is_as_many_steps(device, dtype, optimizer, distance):
    parts = [data(device, dtype, 7, 4, 3, "integers", seed) for seed in range(5)]
    xp = koubai.array_namespace(parts[0][0])
    xs, ts = (xp.stack([part[i] for part in parts]) for i in (0, 1))
    one, many = small(device, dtype), small(device, dtype)
    make = OPTIMIZERS[optimizer]
    step, by_epoch = (koubai.compile_step(net, make()) for net in (one, many))
    losses = [float(step(x, t)) for _ in range(2) for x, t in parts]
    found = [by_epoch.epoch(xs, ts), by_epoch.epoch(xs, ts)]
    assert [each.shape for each in found] == [(5,), (5,)]
    told = np.concatenate([to_numpy(each) for each in found])
    np.testing.assert_allclose(told, losses, rtol=10 * TOLERANCE[dtype])
    assert distance(one, many) <= TOLERANCE[dtype]


def test_epoch_of_one_step(place, batch, distance):
    x, t = batch()
    one, many = small(place), small(place)
    koubai.compile_step(one, SGD(0.1))(x, t)
    losses = koubai.compile_step(many, SGD(0.1)).epoch(x[None, ...], t[None, ...])
    assert losses.shape == (1,)
    assert distance(one, many) <= 1e-6


def test_epoch_goes_together_with_steps_and_changes_between(place, distance):
    parts = [data(place, "float32", 7, 4, 3, "integers", seed) for seed in range(3)]
    xp = koubai.array_namespace(parts[0][0])
    xs, ts = (xp.stack([part[i] for part in parts]) for i in (0, 1))
    one, many = small(place), small(place)
    steps = [koubai.compile_step(net, Momentum(0.1)) for net in (one, many)]
    for lr in (0.1, 0.02):
        for net, step in zip((one, many), steps, strict=True):
            step.optimizer.lr = lr
            net.params["b1"] = net.params["b1"] * 0.5
            step(*parts[0])
        for part in parts:
            steps[0](*part)
        steps[1].epoch(xs, ts)
    assert distance(one, many) <= 1e-6


@pytest.mark.parametrize(
    ("xs", "ts"), [((0, 7, 4), (0, 7)), ((2, 7, 4), (3, 7)), ((2, 7, 4), ())], ids=str
)
def test_epoch_without_batches_is_refused(xs, ts):
    step = koubai.compile_step(small(koubai.device("cpu")), SGD())
    with pytest.raises(ShapeError, match="epoch"):
        step.epoch(np.zeros(xs, np.float32), np.zeros(ts, np.int64))


# Mistakes at the door


def test_what_is_no_network_or_optimizer_is_refused(place):
    with pytest.raises(KoubaiError, match=r"no koubai\.Network"):
        koubai.compile_step([Affine(np.eye(2), np.zeros(2))], SGD())
    with pytest.raises(KoubaiError, match="update"):
        koubai.compile_step(small(place), 0.1)
    with pytest.raises(KoubaiError, match="no parameters"):
        koubai.compile_step(Network([Relu()]), SGD())


def test_lists_are_refused(place, batch):
    x, t = batch()
    step = koubai.compile_step(small(place), SGD())
    for _ in range(2):
        with pytest.raises(NotAnArrayError, match="x is list"):
            step([[1.0] * 4] * 7, t)
        with pytest.raises(NotAnArrayError, match="t is list"):
            step(x, [0] * 7)
        step(x, t)


def test_step_knows_its_network_and_optimizer(place):
    net, optimizer = small(place), SGD(0.25)
    step = koubai.compile_step(net, optimizer)
    assert step.network is net
    assert step.optimizer is optimizer
    assert "TwoLayerNet" in repr(step)
    assert "SGD(lr=0.25)" in repr(step)


# Networks and batches


def small(device, dtype="float32"):
    return TwoLayerNet(4, 6, 3, 0.5, device=device, dtype=dtype, rng=0)


def build(device, dtype, kinds, widths, loss):
    """Give a function that makes a network with small weights, the same each time."""

    def make():
        rng = np.random.default_rng(3)
        sizes = list(pairwise(widths))
        layers = []
        for kind in kinds:
            if kind == "affine":
                d, m = sizes.pop(0)
                W, b = 0.5 * rng.standard_normal((d, m)) / d**0.5, 0.1 * rng.standard_normal(m)
                layers.append(Affine(*(device.asarray(a, dtype=dtype) for a in (W, b))))
            else:
                layers.append(ACTIVATIONS[kind]())
        return Network(layers, IdentityWithLoss() if loss == "regression" else SoftmaxWithLoss())

    return make


def data(device, dtype, n, d, classes, loss, seed=0):
    rng = np.random.default_rng(seed)
    x = device.asarray(0.5 * rng.standard_normal((n, d)), dtype=dtype)
    labels = rng.integers(0, classes, n)
    if loss == "integers":
        return x, device.asarray(labels)
    t = np.eye(classes)[labels] if loss == "one-hot" else rng.standard_normal((n, classes))
    return x, device.asarray(t, dtype=dtype)


def counting_network(device):
    """Make a network that notes each time its Python runs."""

    calls = []

    class Counting(TwoLayerNet):
        recorded = calls

        def gradient(self, x, t):
            calls.append(x.shape)
            return super().gradient(x, t)

    return Counting(4, 6, 3, 0.5, device=device, rng=0)


def test_a_copied_step_trains_a_network_of_its_own(place, batch):
    net = TwoLayerNet(4, 6, 3, device=place, rng=0)
    step = koubai.compile_step(net, Momentum(0.1))
    x, t = batch()
    step(x, t)
    twin = copy.deepcopy(step)
    before = to_numpy(net.params["W1"]).copy()
    assert float(twin(x, t)) == pytest.approx(float(step(x, t)), rel=1e-6)
    after = to_numpy(net.params["W1"]).copy()
    assert (before != after).any()
    twin(x, t)
    np.testing.assert_array_equal(to_numpy(net.params["W1"]), after)
