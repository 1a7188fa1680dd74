"""Schedules, clipping and weight decay, and what they make together."""

import math
import pickle

import numpy as np
import pytest

from koubai import to_numpy
from koubai.errors import OptimizerError
from koubai.optimizers import SGD, AdamW, ClipNorm, Momentum, Scheduled, WeightDecay, schedules
from koubai.optimizers.schedules import constant, cosine, step, warm_up


def hosted(named):
    return {key: np.asarray(value) for key, value in named.items()}


def rates(schedule, count):
    return [schedule(i) for i in range(count)]


# Schedules


def test_constant():
    assert rates(constant(0.3), 3) == [0.3, 0.3, 0.3]


def test_step_falls_every_so_many_steps():
    assert rates(step(1.0, every=2, factor=0.5), 7) == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_cosine_is_that_of_torch_and_stays_at_its_end():
    torch = pytest.importorskip("torch", reason="its CosineAnnealingLR is what is compared with")
    other = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(other, T_max=20, eta_min=0.1)
    schedule = cosine(0.5, steps=20, end=0.1)
    for i in range(21):
        assert schedule(i) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        other.step()
        theirs.step()
    assert schedule(0) == 0.5
    assert schedule(1000) == 0.1


def test_warm_up_goes_in_a_straight_line_to_what_comes_then():
    schedule = warm_up(4, cosine(1.0, 10))
    np.testing.assert_allclose(rates(schedule, 5), [0.2, 0.4, 0.6, 0.8, 1.0])
    assert schedule(9) == cosine(1.0, 10)(5) == pytest.approx((1 + math.cos(math.pi / 2)) / 2)
    assert rates(warm_up(0, constant(0.5)), 2) == [0.5, 0.5]
    assert warm_up(2, lambda i: 3.0 + i)(0) == 1.0


def test_schedules_tell_what_they_are_and_can_be_pickled():
    schedule = warm_up(3, step(0.5, 10))
    assert repr(schedule) == "warm_up(steps=3, then=step(lr=0.5, every=10, factor=0.1))"
    assert pickle.loads(pickle.dumps(schedule)) == schedule


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: constant(-1),
        lambda: step(0.1, every=0),
        lambda: step(0.1, every=1.5),
        lambda: step(0.1, every=1, factor=-0.1),
        lambda: cosine(0.1, steps=0),
        lambda: cosine(0.1, steps=1, end=float("nan")),
        lambda: warm_up(-1, constant(1)),
        lambda: warm_up(1, lambda i: "fast"),
        lambda: Scheduled(SGD(), lambda i: -1.0),
        lambda: Scheduled(SGD(), 0.1),
        lambda: Scheduled(object(), constant(0.1)),
        lambda: ClipNorm(SGD(), 0.0),
        lambda: ClipNorm(SGD(), -1.0),
        lambda: ClipNorm(0.1, 1.0),
        lambda: WeightDecay(SGD(), -0.1),
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(OptimizerError):
        wrong()


def test_scheduled_sets_the_rate_of_each_step(given):
    params, grads = hosted(given[0]), hosted(given[1])
    optimizer = Scheduled(SGD(), lambda i: 0.5**i)
    for i in range(4):
        before = params["b1"].copy()
        optimizer.update(params, grads)
        np.testing.assert_allclose(params["b1"], before - 0.5**i * grads["b1"])
        assert (optimizer.lr, optimizer.iter) == (0.5**i, i + 1)


def test_rate_of_a_schedule_cannot_be_set():
    optimizer = Scheduled(SGD(), constant(0.1))
    with pytest.raises(OptimizerError, match="schedule"):
        optimizer.lr = 0.5


def test_rate_that_a_schedule_must_not_give_is_seen_at_its_step(given):
    params, grads = hosted(given[0]), hosted(given[1])
    optimizer = Scheduled(SGD(), lambda i: 1.0 - i)
    optimizer.update(params, grads)
    optimizer.update(params, grads)
    with pytest.raises(OptimizerError, match=r"schedule\(2\) is -1\.0"):
        optimizer.update(params, grads)


def test_rate_of_what_is_within_can_be_read_and_set():
    optimizer = ClipNorm(WeightDecay(Momentum(0.5), 0.1), 1.0)
    assert optimizer.lr == 0.5
    optimizer.lr = 0.25
    assert optimizer.optimizer.optimizer.lr == 0.25


# Clipping


def length(grads):
    return np.sqrt(sum(np.sum(np.square(g)) for g in grads.values()))


@pytest.mark.parametrize("max_norm", [0.5, 1.0, 100.0])
def test_long_gradients_are_shortened_and_short_ones_left(given, max_norm):
    params, grads = hosted(given[0]), hosted(given[1])
    before = {key: p.copy() for key, p in params.items()}
    ClipNorm(SGD(1.0), max_norm).update(params, grads)
    steps = {key: before[key] - params[key] for key in params}
    full = length(grads)
    assert length(steps) == pytest.approx(min(full, max_norm))
    for key, each in steps.items():
        np.testing.assert_allclose(each, grads[key] * min(1.0, max_norm / full), atol=1e-15)


def test_gradients_of_zero_stay_zero(arrays, given):
    zeros = {key: np.zeros_like(np.asarray(value)) for key, value in given[1].items()}
    params = arrays(given[0])
    ClipNorm(SGD(1.0), 1.0).update(params, arrays(zeros))
    for key, value in given[0].items():
        np.testing.assert_array_equal(to_numpy(params[key]), value)


def test_clipping_is_that_of_torch(given):
    torch = pytest.importorskip("torch", reason="its clip_grad_norm_ is what is compared with")
    params, grads = hosted(given[0]), hosted(given[1])
    tensors = [torch.tensor(value, dtype=torch.float64) for value in given[0].values()]
    for tensor, gradient in zip(tensors, grads.values(), strict=True):
        tensor.grad = torch.tensor(gradient)
    torch.nn.utils.clip_grad_norm_(tensors, 0.7)
    found = ClipNorm(SGD(), 0.7).changed(params, grads)
    for tensor, gradient in zip(tensors, found.values(), strict=True):
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-5)


# Weight decay


def test_weight_decay_adds_the_gradient_of_the_penalty(given):
    params, grads = hosted(given[0]), hosted(given[1])
    found = WeightDecay(SGD(), 0.1).changed(params, grads)
    for key in params:
        np.testing.assert_allclose(found[key], grads[key] + 0.1 * params[key])
    found = WeightDecay(SGD(), 0.1, prefix="W").changed(params, grads)
    np.testing.assert_allclose(found["W1"], grads["W1"] + 0.1 * params["W1"])
    np.testing.assert_array_equal(found["b1"], grads["b1"])


def test_decay_of_adamw_can_spare_biases():
    params = {"W1": np.ones(1), "b1": np.ones(1)}
    AdamW(0.5, weight_decay=0.1, prefix="W").update(params, {key: np.zeros(1) for key in params})
    assert (params["W1"].tolist(), params["b1"].tolist()) == ([0.95], [1.0])


def test_outermost_changes_the_gradients_first(given):
    params, grads = hosted(given[0]), hosted(given[1])
    clipped_last = WeightDecay(ClipNorm(SGD(1.0), 0.5), 10.0)
    before = {key: p.copy() for key, p in params.items()}
    clipped_last.update(params, grads)
    assert length({key: before[key] - params[key] for key in params}) == pytest.approx(0.5)


def test_optimizer_of_a_reader_can_be_within(given):
    class Own:
        def __init__(self):
            self.lr = 0.0

        def update(self, params, grads):
            for key in params:
                params[key] -= self.lr * grads[key]

    params, twins, grads = hosted(given[0]), hosted(given[0]), hosted(given[1])
    for _ in range(3):
        Scheduled(ClipNorm(Own(), 1.0), constant(0.1)).update(params, grads)
        ClipNorm(SGD(0.1), 1.0).update(twins, grads)
    for key in params:
        np.testing.assert_array_equal(params[key], twins[key])


def test_update_that_a_reader_has_written_over_counts_within(given):
    class Twice(Momentum):
        def update(self, params, grads):
            super().update(params, grads)
            super().update(params, grads)

    params, twins, grads = hosted(given[0]), hosted(given[0]), hosted(given[1])
    ClipNorm(Twice(0.1), 1.0).update(params, grads)
    once = ClipNorm(Momentum(0.1), 1.0)
    for _ in range(2):
        once.update(twins, grads)
    np.testing.assert_array_equal(params["W1"], twins["W1"])


def test_repr_shows_what_is_within():
    optimizer = Scheduled(ClipNorm(WeightDecay(SGD(), 0.1), 1.0), schedules.constant(0.5))
    assert repr(optimizer) == (
        "Scheduled(ClipNorm(WeightDecay(SGD(lr=0.5), rate=0.1), max_norm=1.0), constant(lr=0.5))"
    )
