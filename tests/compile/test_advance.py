"""What an optimizer does on the host between compiled steps."""

import math

import numpy as np
import pytest

import koubai
from koubai import TwoLayerNet, to_numpy
from koubai.errors import LabelError, OptimizerError
from koubai.optimizers import SGD, Adam, ClipNorm, Momentum, Scheduled, schedules


class Waves:
    """A reader's own: the host computes with math, the step with arrays."""

    def __init__(self):
        self.count = 0
        self.lr = 0.0
        self.v = None

    def update(self, params, grads):
        self.advance()
        self.apply(params, grads)

    def advance(self):
        self.count += 1
        self.lr = 0.1 * (1.0 + math.cos(self.count))

    def apply(self, params, grads):
        if self.v is None:
            self.v = {key: 0.0 * grads[key] for key in params}
        for key in params:
            self.v[key] = 0.9 * self.v[key] + grads[key]
            params[key] -= self.lr * self.v[key] / self.count


class CountsItself(Waves):
    """A rule that changes a number in the part that is compiled."""

    def apply(self, params, grads):
        super().apply(params, grads)
        self.lr = self.lr * 0.5
        self.halved = self.lr


class Alternates(Waves):
    """One that exchanges more than numbers."""

    def __init__(self):
        super().__init__()
        self.odd = "yes"

    def advance(self):
        super().advance()
        self.odd = "yes" if self.count % 2 else "no"

    def apply(self, params, grads):
        for key in params:
            params[key] -= self.lr * grads[key] * (2.0 if self.odd == "yes" else 0.5)


class Overwritten(Adam):
    """An ``update`` of a reader's own over the two parts."""

    def update(self, params, grads):
        super().update(params, {key: 0.5 * grads[key] for key in params})
        for key in params:
            params[key] *= 0.99


OWN = [Waves, CountsItself, Alternates, Overwritten]


@pytest.mark.parametrize("optimizer", OWN)
def test_optimizer_in_two_parts(place, batch, optimizer, same_training):
    batches = [batch(seed=i) for i in range(8)]
    step, _ = same_training(lambda: small(place), optimizer, batches, 2e-6)
    assert getattr(step.optimizer, "count", 8) == 8
    assert type(step.optimizer.lr) is float


@pytest.mark.parametrize("optimizer", [*OWN, lambda: Scheduled(SGD(), schedules.cosine(0.1, 9))])
def test_epoch_of_optimizer_in_two_parts(place, batch, optimizer, distance):
    xs, ts = stacked([batch(seed=i) for i in range(9)])
    one, many = small(place), small(place)
    by_step, by_epoch = optimizer(), optimizer()
    step = koubai.compile_step(one, by_step)
    losses = [float(step(xs[i, ...], ts[i, ...])) for i in range(9)]
    found = koubai.compile_step(many, by_epoch).epoch(xs, ts)
    np.testing.assert_allclose(to_numpy(found), losses, rtol=1e-5)
    assert distance(one, many) <= 2e-6
    assert by_epoch.lr == pytest.approx(by_step.lr, rel=1e-6)
    assert getattr(by_epoch, "count", None) == getattr(by_step, "count", None)


def test_numbers_never_come_from_the_device(place, batch):
    """What the host has computed in float64 stays there as it is, in steps and in epochs."""
    xs, ts = stacked([batch(seed=i) for i in range(6)])
    optimizer, plain = Adam(0.003), SGD(0.1)
    for rule in (optimizer, plain):
        step = koubai.compile_step(small(place), rule)
        step(xs[0, ...], ts[0, ...])
        step.epoch(xs, ts)
        step(xs[0, ...], ts[0, ...])
    by_hand = Adam(0.003)
    for _ in range(8):
        by_hand.advance()
    assert (optimizer.iter, optimizer.lr_t, optimizer.beta1) == (8, by_hand.lr_t, 0.9)
    assert plain.lr == 0.1


def test_epoch_of_jax_is_one_call_where_the_rate_changes(batch, monkeypatch):
    pytest.importorskip("jax", reason="the loop is compiled by JAX alone")
    place = koubai.device("jax:cpu")
    xs, ts = stacked([labelled(place, i) for i in range(9)])
    net = small(place)
    step = koubai.compile_step(net, Scheduled(Adam(), schedules.cosine(0.1, 50)))
    step.epoch(xs, ts)
    record = step._last
    monkeypatch.setattr(record, "run", lambda *_: pytest.fail("a step by itself"))
    losses = []
    loop = record.loop
    monkeypatch.setattr(record, "loop", lambda *args: losses.append(0) or loop(*args))
    step._records = dict.fromkeys(step._records, record)
    found = step._looped(record, xs, ts)
    assert (len(losses), found.shape, step.optimizer.iter) == (1, (9,), 18)


def test_no_new_record_where_only_numbers_change(recorder):
    calls = []

    class Counting(TwoLayerNet):
        def gradient(self, x, t):
            calls.append(1)
            return super().gradient(x, t)

    net = Counting(4, 6, 3, 0.5, device=recorder, rng=0)
    step = koubai.compile_step(net, Scheduled(Adam(), schedules.cosine(0.1, 50)))
    for i in range(10):
        step(*labelled(recorder, i))
    assert len(calls) == 2  # without the moments, and with them


def test_numbers_are_as_they_were_when_a_step_fails(batch):
    place = koubai.device("cpu")
    optimizer = Scheduled(Adam(), schedules.cosine(0.1, 50))
    step = koubai.compile_step(small(place), optimizer)
    x, t = labelled(place)
    for good in range(3):
        before = optimizer.state_dict()
        with pytest.raises(LabelError):
            step(x, t + 7)
        same(optimizer.state_dict(), before)
        assert optimizer.iter == good
        step(x, t)
    assert optimizer.iter == optimizer.optimizer.iter == 3


def test_numbers_are_as_they_were_when_the_host_fails(place, batch):
    def schedule(i):
        return 0.1 if i < 4 else -1.0

    optimizer = Scheduled(Momentum(), schedule)
    step = koubai.compile_step(small(place), optimizer)
    xs, ts = stacked([batch(seed=i) for i in range(3)])
    step.epoch(xs, ts)
    with pytest.raises(OptimizerError, match=r"schedule\(4\)"):
        step.epoch(xs, ts)
    assert optimizer.iter == 4
    with pytest.raises(OptimizerError):
        step(*batch())
    assert optimizer.iter == 4


def test_state_goes_from_compiled_to_eager_and_back(place, batch, distance):
    def make():
        return Scheduled(ClipNorm(Adam(0.01), 1.0), schedules.cosine(0.01, 50))

    one, other = small(place), small(place)
    by_hand, optimizer = make(), make()
    step = koubai.compile_step(other, optimizer)
    for i in range(9):
        x, t = batch(seed=i)
        by_hand.update(one.params, one.gradient(x, t))
        if i % 3 == 1:
            optimizer.update(other.params, other.gradient(x, t))
        elif i % 3 == 2:
            fresh = make()
            fresh.load_state_dict(optimizer.state_dict())
            optimizer.load_state_dict(fresh.state_dict())
            step(x, t)
        else:
            step(x, t)
    assert distance(one, other) <= 2e-6
    assert optimizer.iter == 9


def test_state_follows_the_network_to_another_device(place, batch, distance):
    host = koubai.device("cpu")
    eager, net = small(host), small(host)
    by_hand, optimizer = Adam(0.01), Adam(0.01)
    step = koubai.compile_step(net, optimizer)
    for i, home in enumerate([host, place, place, host]):
        by_hand.update(eager.params, eager.gradient(*labelled(host, i)))
        net.to(home)
        step(*labelled(home, i))
    assert distance(eager, net) <= 2e-6
    net.to(place)
    optimizer.to(place).update(net.params, net.gradient(*batch()))


def small(place):
    return TwoLayerNet(4, 6, 3, 0.5, device=place, rng=0)


def labelled(place, seed=0):
    rng = np.random.default_rng(seed)
    x, t = rng.standard_normal((7, 4)), rng.integers(0, 3, 7)
    return place.asarray(x, dtype="float32"), place.asarray(t)


def stacked(batches):
    xp = koubai.array_namespace(batches[0][0])
    return tuple(xp.stack([batch[i] for batch in batches]) for i in (0, 1))


def same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        np.testing.assert_array_equal(value, other[key])
