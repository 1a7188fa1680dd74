"""What a compiled step reads and writes: parameters, optimizers, and layers of a reader's own."""

import numpy as np
import pytest

import koubai
from koubai import SGD, Affine, Momentum, Network, Relu, Tanh, TwoLayerNet, to_numpy
from koubai.errors import KoubaiError

# Parameters are live


@pytest.mark.parametrize("optimizer", [SGD, Momentum])
def test_parameters_are_the_current_ones_after_every_step(place, batch, optimizer, distance):
    eager, net = small(place), small(place)
    by_hand, step = optimizer(0.1), koubai.compile_step(net, optimizer(0.1))
    view = net.params
    for i in range(4):
        x, t = batch(seed=i)
        by_hand.update(eager.params, eager.gradient(x, t))
        step(x, t)
        assert distance(eager, net) <= 1e-6
        assert view["W1"] is net.params["W1"]
        assert view["W1"] is net.layers["Affine1"].W
        assert float(net.loss(x, t)) == pytest.approx(float(eager.loss(x, t)), rel=1e-5)


def assign(network, place, order="C"):
    W = np.asarray(np.random.default_rng(5).standard_normal((4, 6)), order=order)
    network.params["W1"] = place.asarray(W, dtype="float32")


CHANGES = {
    "assign": assign,
    "assign to the layer": lambda net, place: setattr(
        net.layers["Affine1"], "b", other_bias(place)
    ),
    "by columns": lambda net, place: assign(net, place, "F"),
    "augmented": lambda net, place: net.params.__setitem__("W2", net.params["W2"] * 0.5),
    "exchange the loss": lambda net, place: setattr(net, "last_layer", koubai.SoftmaxWithLoss()),
    "exchange a layer": lambda net, place: net.layers.__setitem__("Relu1", Tanh()),
    "to the host and back": lambda net, place: net.to("cpu").to(place),
    "load": lambda net, place: [
        net.params.__setitem__(key, value)
        for key, value in TwoLayerNet(4, 6, 3, 0.4, device=place, rng=9).params.items()
    ],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_change_between_steps_takes_effect(place, batch, change, same_training):
    def at_times(i, network, optimizer):
        if i in {0, 2, 3}:
            change(network, place)

    same_training(
        lambda: small(place),
        lambda: Momentum(0.1),
        [batch(seed=i) for i in range(7)],
        1e-6,
        at_times,
    )


@pytest.mark.parametrize("optimizer", [SGD, Momentum])
def test_change_in_place_takes_effect(optimizer, same_training):
    def change(i, network, optimizer):
        network.params["W1"][...] *= 0.5
        network.layers["Affine2"].b += 0.1

    place = koubai.device("cpu")
    x, t = labelled(place)
    same_training(lambda: small(place), lambda: optimizer(0.1), [(x, t)] * 5, 1e-6, change)


def test_matrix_by_columns_is_trained_like_any(same_training):
    def change(i, network, optimizer):
        if i == 2:
            network.params["W1"] = np.asfortranarray(network.params["W1"])
            network.params["W2"] = np.ascontiguousarray(network.params["W2"].T).T

    place = koubai.device("cpu")
    same_training(lambda: small(place), lambda: SGD(0.1), [labelled(place)] * 6, 1e-6, change)


@pytest.mark.parametrize("optimizer", [SGD, Momentum])
def test_training_goes_on_on_another_device(place, optimizer, distance):
    host = koubai.device("cpu")
    eager, net = small(host), small(host)
    by_hand, step = optimizer(0.1), koubai.compile_step(net, optimizer(0.1))
    for i, home in enumerate([host, place, place, host, place, host]):
        by_hand.update(eager.params, eager.gradient(*labelled(host, i)))
        net.to(home)
        step(*labelled(home, i))
        assert net.device == home
    assert distance(eager, net) <= 1e-6


@pytest.mark.parametrize("optimizer", [SGD, Momentum])
def test_training_goes_on_in_another_dtype(place, optimizer, same_training):
    def change(i, network, optimizer):
        if i == 3:
            network.astype("float64")

    with place.backend.float64():
        batches = [labelled(place, i, "float32" if i < 3 else "float64") for i in range(8)]
        same_training(lambda: small(place), lambda: optimizer(0.1), batches, 1e-6, change)


def test_velocities_are_the_current_ones_and_may_be_set(place, batch, same_training):
    seen = []

    def change(i, network, optimizer):
        if optimizer.v is not None:
            seen.append({key: to_numpy(v).tolist() for key, v in optimizer.v.items()})
        if i == 3:
            optimizer.v["b1"] = optimizer.v["b1"] * 0.0
        if i == 5:
            optimizer.v = None

    batches = [batch(seed=i) for i in range(8)]
    same_training(lambda: small(place), lambda: Momentum(0.1), batches, 1e-6, change)
    for mine, yours in zip(seen[::2], seen[1::2], strict=True):
        for key in mine:
            np.testing.assert_allclose(mine[key], yours[key], rtol=1e-4, atol=1e-6)


# Nobody shares


def test_arrays_from_which_a_network_was_made_do_not_change(place, batch):
    arrays = [array(place, a) for a in (weights(4, 6), np.ones(6), weights(6, 3), np.ones(3))]
    before = [to_numpy(a).tolist() for a in arrays]
    net = Network([Affine(*arrays[:2]), Relu(), Affine(*arrays[2:])])
    step = koubai.compile_step(net, Momentum(0.1))
    given = array(place, weights(4, 6))
    for _ in range(3):
        step(*batch())
    net.params["W1"] = given
    for _ in range(3):
        step(*batch())
    assert [to_numpy(a).tolist() for a in arrays] == before
    assert to_numpy(given).tolist() == to_numpy(array(place, weights(4, 6))).tolist()


def test_networks_made_of_the_same_arrays_do_not_influence_each_other(place, batch, distance):
    arrays = [array(place, a) for a in (weights(4, 3), np.ones(3))]
    one, other, alone = (Network([Affine(*arrays)]) for _ in range(3))
    x, t = batch()
    steps = [koubai.compile_step(net, SGD(0.1)) for net in (one, other)]
    for step in (*steps, *steps, steps[1]):
        step(x, t)
    step = koubai.compile_step(alone, SGD(0.1))
    for _ in range(2):
        step(x, t)
    assert distance(alone, one) == 0
    step(x, t)
    assert distance(alone, other) == 0


def test_copy_is_independent(place, batch, distance):
    net = small(place)
    step = koubai.compile_step(net, Momentum(0.1))
    for _ in range(2):
        step(*batch())
    twin, before = net.copy(), {k: to_numpy(v).tolist() for k, v in net.params.items()}
    for _ in range(2):
        step(*batch())
    assert {k: to_numpy(v).tolist() for k, v in twin.params.items()} == before
    koubai.compile_step(twin, SGD(0.5))(*batch())
    assert distance(net, twin) > 1e-4


def test_copy_has_a_state_of_its_own(place, batch):
    net = Network([Affine(array(place, weights(4, 3)), array(place, np.ones(3))), Centre(place)])
    step = koubai.compile_step(net, SGD(0.1))
    for _ in range(2):
        step(*batch())
    twin, before = net.copy(), to_numpy(net.layers["Centre1"].running_mean).tolist()
    for i in range(2):
        step(*batch(seed=i))
    assert to_numpy(twin.layers["Centre1"].running_mean).tolist() == before


def test_two_optimizers_take_turns_on_one_network(place, batch, distance):
    eager, net = small(place), small(place)
    optimizers = [SGD(0.1), Momentum(0.05)]
    steps = [koubai.compile_step(net, o) for o in (SGD(0.1), Momentum(0.05))]
    for i in range(8):
        x, t = batch(seed=i)
        optimizers[i % 3 == 0].update(eager.params, eager.gradient(x, t))
        steps[i % 3 == 0](x, t)
    assert distance(eager, net) <= 1e-6


@pytest.mark.parametrize("optimizer", [SGD, Momentum])
def test_tied_parameters_stay_tied(place, optimizer, distance):
    """Where an array is written in place, the eager layers tie by themselves."""
    eager, net = tied(koubai.device("cpu")), tied(place)
    by_hand, step = optimizer(0.1), koubai.compile_step(net, optimizer(0.1))
    for i in range(5):
        x, t = labelled(koubai.device("cpu"), i)
        by_hand.update(eager.params, eager.gradient(x, t))
        step(place.asarray(x), place.asarray(t))
        assert net.params["W1"] is net.params["W2"]
        assert net.params["b1"] is not net.params["b2"]
    assert distance(eager, net) <= 1e-6


def test_tie_may_be_cut_between_steps(place, distance):
    eager, net = tied(koubai.device("cpu")), tied(place)
    by_hand, step = SGD(0.1), koubai.compile_step(net, SGD(0.1))
    for i in range(4):
        if i == 2:
            for network in (eager, net):
                network.params["W2"] = network.params["W2"] * 1.0
        x, t = labelled(koubai.device("cpu"), i)
        by_hand.update(eager.params, eager.gradient(x, t))
        step(place.asarray(x), place.asarray(t))
    assert distance(eager, net) <= 1e-6


# Optimizers of a reader's own


class AdaGrad:
    """As the book writes it, with the namespace of the arrays in place of np."""

    def __init__(self, lr=0.01):
        self.lr = lr
        self.h = None

    def update(self, params, grads):
        xp = koubai.array_namespace(*params.values())
        if self.h is None:
            self.h = {}
            for key, val in params.items():
                self.h[key] = xp.zeros_like(val)
        for key in params:
            self.h[key] += grads[key] * grads[key]
            params[key] -= self.lr * grads[key] / (xp.sqrt(self.h[key]) + 1e-7)


class Adam:
    """As the book writes it, with ** 0.5 in place of np.sqrt of numbers."""

    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999):
        self.lr = lr
        self.beta1 = beta1
        self.beta2 = beta2
        self.iter = 0
        self.m = None
        self.v = None

    def update(self, params, grads):
        xp = koubai.array_namespace(*params.values())
        if self.m is None:
            self.m, self.v = {}, {}
            for key, val in params.items():
                self.m[key] = xp.zeros_like(val)
                self.v[key] = xp.zeros_like(val)
        self.iter += 1
        lr_t = self.lr * (1.0 - self.beta2**self.iter) ** 0.5 / (1.0 - self.beta1**self.iter)
        for key in params:
            self.m[key] += (1 - self.beta1) * (grads[key] - self.m[key])
            self.v[key] += (1 - self.beta2) * (grads[key] ** 2 - self.v[key])
            params[key] -= lr_t * self.m[key] / (xp.sqrt(self.v[key]) + 1e-7)


class AdamOfNewArrays(Adam):
    """The same without augmented assignment."""

    def update(self, params, grads):
        xp = koubai.array_namespace(*params.values())
        if self.m is None:
            self.m = {key: xp.zeros_like(val) for key, val in params.items()}
            self.v = {key: xp.zeros_like(val) for key, val in params.items()}
        self.iter = self.iter + 1
        lr_t = self.lr * (1.0 - self.beta2**self.iter) ** 0.5 / (1.0 - self.beta1**self.iter)
        for key in params:
            self.m[key] = self.beta1 * self.m[key] + (1 - self.beta1) * grads[key]
            self.v[key] = self.beta2 * self.v[key] + (1 - self.beta2) * grads[key] ** 2
            params[key] -= lr_t * self.m[key] / (xp.sqrt(self.v[key]) + 1e-7)


class Schedule:
    """A part of an optimizer: a rate that falls."""

    def __init__(self, rate):
        self.rate = rate
        self.counts = [0, {"steps": 0}]

    def next(self):
        self.rate = self.rate * 0.9
        self.counts[0] += 1
        self.counts[1]["steps"] += 2
        return self.rate / self.counts[0]


class Scheduled:
    """An optimizer with a part of its own, and arrays in a list."""

    def __init__(self, rate=0.1):
        self.schedule = Schedule(rate)
        self.velocities = []

    def update(self, params, grads):
        rate = self.schedule.next()
        if not self.velocities:
            self.velocities = [grads[key] * 0.0 for key in params]
        for i, key in enumerate(params):
            self.velocities[i] = 0.5 * self.velocities[i] - rate * grads[key]
            params[key] += self.velocities[i]


class Clipped:
    """Gradients scaled to a norm that is remembered."""

    def __init__(self):
        self.norm = 0.0

    def update(self, params, grads):
        xp = koubai.array_namespace(*params.values())
        self.norm = 0.9 * self.norm + 0.1 * sum(xp.sum(g * g) for g in grads.values()) ** 0.5
        for key in params:
            params[key] -= 0.1 * grads[key] / (1.0 + self.norm)


class Turned:
    """New parameters that are transposes of what was computed."""

    def update(self, params, grads):
        for key in params:
            p, g = (a.T if a.ndim == 2 else a for a in (params[key], grads[key]))
            new = 0.99 * p - 0.1 * g
            params[key] = new.T if new.ndim == 2 else new


class PartOfMore:
    """New parameters that are a part of a larger array."""

    def update(self, params, grads):
        xp = koubai.array_namespace(*params.values())
        for key in params:
            both = xp.concat([params[key], grads[key]]) * 0.9
            params[key] = both[: params[key].shape[0], ...]


class Even:
    """New parameters that are one number throughout."""

    def update(self, params, grads):
        xp = koubai.array_namespace(*params.values())
        for key in params:
            middle = xp.mean(params[key]) - 0.1 * xp.mean(grads[key])
            params[key] = xp.broadcast_to(middle, params[key].shape)


class Exchange:
    """Two biases that change places at every step."""

    def update(self, params, grads):
        for key in params:
            params[key] -= 0.1 * grads[key]
        params["b1"], params["b2"] = params["b2"] * 1.0, params["b1"] * 1.0


class SharedParts:
    """A dict of settings that is reached in two ways."""

    def __init__(self):
        self.defaults = {"lr": 0.1, "steps": 0}
        self.groups = [self.defaults]

    def update(self, params, grads):
        self.defaults["steps"] += 1
        for key in params:
            params[key] -= self.groups[0]["lr"] / self.defaults["steps"] * grads[key]


class BackReference:
    """A schedule that knows its optimizer."""

    def __init__(self):
        self.lr = 0.1
        self.schedule = Schedule(0.1)
        self.schedule.optimizer = self

    def update(self, params, grads):
        for key in params:
            params[key] -= self.schedule.optimizer.lr * grads[key]


class Slotted:
    """An optimizer without a __dict__."""

    __slots__ = ("lr",)

    def __init__(self):
        self.lr = 0.1

    def update(self, params, grads):
        for key in params:
            params[key] -= self.lr * grads[key]


class Falling:
    """A rate that begins as an integer."""

    def __init__(self):
        self.lr = 1

    def update(self, params, grads):
        for key in params:
            params[key] -= 0.1 * self.lr * grads[key]
        self.lr = self.lr * 0.5


OPTIMIZERS = [
    AdaGrad,
    Adam,
    AdamOfNewArrays,
    Scheduled,
    Clipped,
    Turned,
    PartOfMore,
    Even,
    Exchange,
    Falling,
    SharedParts,
    BackReference,
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizer_of_a_reader(optimizer, same_training):
    place = koubai.device("cpu")
    batches = [labelled(place, i) for i in range(6)]
    same_training(lambda: three(place), optimizer, batches, 1e-6)


@pytest.mark.parametrize("optimizer", [AdaGrad, Adam, Scheduled, Clipped, Falling])
def test_optimizer_of_a_reader_on_every_device(place, batch, optimizer, same_training):
    batches = [batch(seed=i) for i in range(6)]
    same_training(lambda: three(place), optimizer, batches, 1e-6)


@pytest.mark.parametrize("optimizer", [AdaGrad, AdamOfNewArrays, Scheduled])
def test_optimizer_of_a_reader_is_exact_in_float64(optimizer, same_training):
    place = koubai.device("cpu")
    batches = [labelled(place, i, "float64") for i in range(50)]
    same_training(lambda: three(place, "float64"), optimizer, batches, 1e-12)


@pytest.mark.parametrize("number", [np.float64(0.05), np.float32(0.05), 1], ids=repr)
def test_rate_may_be_a_number_of_any_kind(number, same_training):
    place = koubai.device("cpu")
    make = lambda: Momentum(number, 0.5)  # noqa: E731
    same_training(lambda: small(place), make, [labelled(place, i) for i in range(6)], 1e-6)


def test_numbers_of_an_optimizer_are_the_current_ones(place, batch):
    optimizer = Scheduled(0.1)
    step = koubai.compile_step(three(place), optimizer)
    for i in range(1, 5):
        step(*batch())
        assert optimizer.schedule.counts == [i, {"steps": 2 * i}]
        assert optimizer.schedule.rate == pytest.approx(0.1 * 0.9**i)
    optimizer.schedule.counts = [10, {"steps": 0}]
    step(*batch())
    assert optimizer.schedule.counts == [11, {"steps": 2}]


def test_gradient_may_be_changed_where_it_lies():
    """``p -= ...`` on a local name changes the parameter in NumPy: never silently nothing."""

    class InPlace:
        def update(self, params, grads):
            for p, g in zip(params.values(), grads.values(), strict=True):
                p -= 0.1 * g  # noqa: PLW2901

    place = koubai.device("cpu")
    eager, net = small(place), small(place)
    x, t = labelled(place)
    InPlace().update(eager.params, eager.gradient(x, t))
    try:
        koubai.compile_step(net, InPlace())(x, t)
    except koubai.CompileError as error:
        assert "p -= 0.1 * g" in str(error)  # noqa: PT017
    else:
        np.testing.assert_allclose(net.params["W1"], eager.params["W1"], rtol=1e-5)


def test_arrays_in_a_tuple_work_or_are_refused(place, batch, distance):
    class InTuple:
        v = ()

        def update(self, params, grads):
            old = self.v or tuple(0.0 * grads[key] for key in params)
            self.v = tuple(0.9 * v - 0.1 * grads[k] for v, k in zip(old, params, strict=True))
            for key, v in zip(params, self.v, strict=True):
                params[key] += v

    eager, net = small(place), small(place)
    by_hand, step = InTuple(), koubai.compile_step(net, InTuple())
    try:
        for i in range(4):
            x, t = batch(seed=i)
            by_hand.update(eager.params, eager.gradient(x, t))
            step(x, t)
    except koubai.CompileError as error:
        assert "tuple" in str(error)  # noqa: PT017
    else:
        assert distance(eager, net) <= 1e-6


# Layers of a reader's own


class Scale:
    """A layer with a parameter of its own name."""

    def __init__(self, place, name="gain", size=3):
        self.parameters = (name,)
        self.name = name
        setattr(self, name, array(place, np.linspace(0.5, 1.5, size)))

    def forward(self, x):
        self.x = x
        return x * getattr(self, self.name)

    def backward(self, dout):
        xp = koubai.array_namespace(dout)
        setattr(self, f"d{self.name}", xp.sum(dout * self.x, axis=0))
        return dout * getattr(self, self.name)


class Centre:
    """Takes the mean of the batch away when it trains, else that of all batches."""

    state = ("running_mean",)

    def __init__(self, place, size=3):
        self.training = True
        self.momentum = 0.9
        self.running_mean = array(place, np.zeros(size))

    def forward(self, x):
        xp = koubai.array_namespace(x)
        mean = xp.mean(x, axis=0)
        if not self.training:
            return x - self.running_mean
        self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mean
        return x - mean

    def backward(self, dout):
        xp = koubai.array_namespace(dout)
        return dout - xp.mean(dout, axis=0) if self.training else dout


class Trailing(Centre):
    """Takes away the mean of all batches, this one among them."""

    def forward(self, x):
        xp = koubai.array_namespace(x)
        self.old = self.running_mean
        self.running_mean = 0.9 * self.running_mean + 0.1 * xp.mean(x, axis=0)
        return x - self.running_mean

    def backward(self, dout):
        return dout * (1.0 + self.old)


class Counted:
    """Has a number that it changes."""

    state = ("count",)

    def __init__(self, place):
        self.count = 0

    def forward(self, x):
        self.count += 1
        return x / self.count

    def backward(self, dout):
        return dout / self.count


class Times:
    """Has a setting."""

    def __init__(self, place, times=2.0):
        self.times = times

    def forward(self, x):
        return x * self.times

    def backward(self, dout):
        return dout * self.times


@pytest.mark.parametrize("layer", [Scale, Centre, Trailing, Counted, Times])
def test_layer_of_a_reader(place, batch, layer, same_training):
    nets = []

    def make():
        nets.append(between(place, layer(place)))
        return nets[-1]

    same_training(make, lambda: Momentum(0.05), [batch(seed=i) for i in range(6)], 1e-6)
    for name in getattr(layer, "state", ()):
        one, other = (getattr(net.layers[f"{layer.__name__}1"], name) for net in nets)
        if isinstance(one, int):
            assert one == other
        else:
            np.testing.assert_allclose(to_numpy(one), to_numpy(other), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["v", "t", "empty", "constant_"])
def test_parameter_may_have_any_name(name, same_training):
    place = koubai.device("cpu")

    def make():
        first = Affine(array(place, weights(4, 3)), array(place, np.zeros(3)))
        return Network([Scale(place, name, 4), first, Scale(place, name), Scale(place, name)])

    same_training(make, lambda: Momentum(0.05), [labelled(place, i) for i in range(4)], 1e-6)


def test_switch_may_be_turned_between_steps(place, batch, same_training):
    def change(i, network, optimizer):
        network.layers["Centre1"].training = i not in {2, 3, 6}

    batches = [batch(seed=i) for i in range(8)]
    same_training(lambda: between(place, Centre(place)), lambda: SGD(0.1), batches, 1e-6, change)


@pytest.mark.parametrize("settings", [(2.0, 3.0), (2, 3), (2, 0.5)], ids=str)
def test_setting_may_be_changed_between_steps(place, batch, settings, same_training):
    def change(i, network, optimizer):
        network.layers["Times1"].times = settings[i in {2, 3, 5}]

    make = lambda: between(place, Times(place, settings[0]))  # noqa: E731
    same_training(make, lambda: SGD(0.05), [batch(seed=i) for i in range(6)], 1e-6, change)


def test_array_that_is_a_setting_may_be_exchanged(same_training):
    def change(i, network, optimizer):
        network.layers["Times1"].times = np.linspace(0, 1, 3, dtype=np.float32) * i

    place = koubai.device("cpu")
    batches = [labelled(place, i) for i in range(4)]
    make = lambda: between(place, Times(place, np.ones(3, np.float32)))  # noqa: E731
    same_training(make, lambda: SGD(0.1), batches, 1e-6, change)


# Networks of a reader's own


class Decayed(Network):
    """Weight decay, as the book has it in MultiLayerNet."""

    weight_decay_lambda = 0.1

    def loss(self, x, t):
        xp = koubai.array_namespace(x)
        decay = 0
        for key in self.params:
            if key.startswith("W"):
                W = self.params[key]
                decay += 0.5 * self.weight_decay_lambda * xp.sum(W * W)
        return super().loss(x, t) + decay

    def gradient(self, x, t):
        grads = super().gradient(x, t)
        for key in grads:
            if key.startswith("W"):
                grads[key] = grads[key] + self.weight_decay_lambda * self.params[key]
        return grads


class Flagged(Network):
    """A loss with a flag, as the book has it in MultiLayerNetExtend."""

    def predict(self, x, train_flg=False):
        y = super().predict(x)
        return y * 0.5 if train_flg else y

    def loss(self, x, t, train_flg=False):
        return self.last_layer.forward(self.predict(x, train_flg), t)

    def gradient(self, x, t):
        self.loss(x, t, train_flg=True)
        dout = self.last_layer.backward() * 0.5
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return dict(self.grads)


@pytest.mark.parametrize("kind", [Decayed, Flagged])
def test_network_of_a_reader(place, batch, kind, same_training):
    def change(i, network, optimizer):
        network.weight_decay_lambda = [0.1, 0.1, 0.3][i % 3]

    make = lambda: kind(list(three(place).layers.values()))  # noqa: E731
    same_training(make, lambda: Momentum(0.05), [batch(seed=i) for i in range(6)], 1e-6, change)


def test_loss_of_a_network_of_a_reader_is_what_the_step_gives(place, batch):
    net = Decayed(list(three(place).layers.values()))
    step = koubai.compile_step(net, SGD(0.1))
    for i in range(3):
        x, t = batch(seed=i)
        expected = float(net.loss(x, t))
        assert float(step(x, t)) == pytest.approx(expected, rel=1e-6)


# Networks, weights and batches


def small(place, dtype="float32"):
    return TwoLayerNet(4, 6, 3, 0.5, device=place, dtype=dtype, rng=0)


def three(place, dtype="float32"):
    """Make three Affines, so that two biases have the same shape."""
    sizes = [(4, 6), (6, 6), (6, 3)]
    affines = [
        Affine(
            place.asarray(weights(d, m), dtype=dtype), place.asarray(0.1 * np.ones(m), dtype=dtype)
        )
        for d, m in sizes
    ]
    affines[1].b = affines[1].b * 2.0
    return Network([affines[0], Relu(), affines[1], Tanh(), affines[2]])


def between(place, layer):
    """Put a layer between two others."""
    first, last = ((array(place, weights(d, 3)), array(place, np.zeros(3))) for d in (4, 3))
    return Network([Affine(*first), layer, Affine(*last)])


def tied(place):
    W = array(place, weights(4, 4))
    layers = [Affine(W, array(place, np.zeros(4))) for _ in range(2)]
    last = Affine(array(place, weights(4, 3)), array(place, np.zeros(3)))
    return Network([layers[0], Tanh(), layers[1], last])


def weights(d, m):
    return 0.5 * np.random.default_rng(d + 7 * m).standard_normal((d, m))


def array(place, values):
    return place.asarray(values, dtype="float32", copy=True)


def other_bias(place):
    return array(place, np.linspace(-1, 1, 6))


def labelled(place, seed=0, dtype="float32"):
    rng = np.random.default_rng(seed)
    x, t = rng.standard_normal((7, 4)), rng.integers(0, 3, 7)
    return place.asarray(x, dtype=dtype), place.asarray(t)


def test_optimizer_without_attributes_to_look_at_is_refused():
    with pytest.raises(KoubaiError, match="__dict__"):
        koubai.compile_step(small(koubai.device("cpu")), Slotted())
