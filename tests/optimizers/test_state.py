"""The state of an optimizer: kept, put back, moved."""

import numpy as np
import pytest

import koubai
from koubai import to_numpy
from koubai.errors import OptimizerError
from koubai.optimizers import (
    SGD,
    Adam,
    AdamW,
    ClipNorm,
    Momentum,
    RMSprop,
    Scheduled,
    WeightDecay,
    schedules,
)


def after(rule, params, grads, steps):
    for _ in range(steps):
        rule.update(params, grads)
    return {key: to_numpy(array).tolist() for key, array in params.items()}


def test_training_goes_on_from_a_state(arrays, given, make):
    params, one, other = arrays(given[0]), make(), make()
    after(one, params, arrays(given[1]), 3)
    state = one.state_dict()
    other.load_state_dict(state)
    grads = arrays(given[1])
    twins = {key: array + 0.0 for key, array in params.items()}
    assert after(one, params, grads, 3) == after(other, twins, grads, 3)


def test_names_tell_what_is_what(given):
    params, grads = ({key: np.asarray(v) for key, v in named.items()} for named in given)
    rule = Scheduled(ClipNorm(WeightDecay(Adam(), 0.1), 1.0), schedules.constant(0.5))
    rule.update(params, grads)
    inner = "optimizer.optimizer.optimizer"
    numbers = ("lr", "beta1", "beta2", "iter")
    moments = [f"{name}.{key}" for name in ("m", "v") for key in ("W1", "b1")]
    assert list(rule.state_dict()) == [
        "iter",
        "optimizer.max_norm",
        "optimizer.optimizer.rate",
        *[f"{inner}.{name}" for name in (*numbers, *moments)],
    ]
    assert rule.state_dict()[f"{inner}.lr"] == 0.5
    assert list(AdamW().state_dict()) == [*numbers, "weight_decay", "eps"]


def test_state_is_a_copy_both_ways(given):
    params, grads = ({key: np.asarray(v) for key, v in named.items()} for named in given)
    one, other = Momentum(0.1), Momentum(0.1)
    one.update(params, grads)
    state = one.state_dict()
    kept = {key: np.copy(value) for key, value in state.items()}
    other.load_state_dict(state)
    state["v.b1"][...] = 7.0
    one.v["b1"][...] = 8.0
    np.testing.assert_array_equal(other.v["b1"], kept["v.b1"])
    again = one.state_dict()
    one.update(params, grads)
    assert again["v.b1"].tolist() == [8.0, 8.0]


def test_state_before_the_first_step_begins_anew(given):
    params, grads = ({key: np.asarray(v) for key, v in named.items()} for named in given)
    rule = Adam(0.1)
    fresh = rule.state_dict()
    rule.update(params, grads)
    rule.load_state_dict(fresh)
    assert (rule.iter, rule.m, rule.v) == (0, None, None)


def test_numbers_may_be_arrays_as_files_give_them():
    rule = Adam()
    state = {key: np.asarray(value) for key, value in Adam(0.5).state_dict().items()}
    rule.load_state_dict(state | {"iter": np.asarray(7)})
    assert (rule.lr, rule.iter, type(rule.iter), type(rule.lr)) == (0.5, 7, int, float)


def test_arrays_go_where_the_old_ones_are(device, arrays, given):
    params, rule = arrays(given[0]), Momentum()
    rule.update(params, arrays(given[1]))
    state = {
        key: to_numpy(value) if hasattr(value, "shape") else value
        for key, value in rule.state_dict().items()
    }
    rule.load_state_dict(state)
    rule.update(params, arrays(given[1]))
    assert koubai.backend.device_of(rule.v["b1"]) == device


def test_state_moves_with_to(device, given, make):
    hosted = [{k: np.asarray(v, dtype="float32") for k, v in named.items()} for named in given]
    moved = [{key: device.asarray(v) for key, v in named.items()} for named in hosted]
    rule = make()
    rule.update(*hosted)
    assert rule.to(device) is rule
    rule.update(*moved)
    values = [value for value in rule.state_dict().values() if hasattr(value, "dtype")]
    assert {koubai.backend.device_of(value) for value in values} <= {device}


def test_error_lists_all_that_does_not_fit(given):
    params, grads = ({key: np.asarray(v) for key, v in named.items()} for named in given)
    rule = Scheduled(Adam(), schedules.constant(0.1))
    rule.update(params, grads)
    state = rule.state_dict()
    del state["optimizer.beta1"], state["optimizer.m.W1"]
    state["optimizer.v.b1"] = np.zeros(3)
    state["optimizer.v.b9"] = np.zeros(3)
    state["momentum"] = 0.9
    state["iter"] = np.zeros(2)
    before = rule.state_dict()
    with pytest.raises(OptimizerError) as caught:
        rule.load_state_dict(state)
    told = str(caught.value)
    assert "Scheduled.load_state_dict" in told
    for line in (
        "missing: optimizer.beta1",
        "missing: optimizer.m.W1",
        "optimizer.v.b1 has the shape (3,), but (2,) is wanted",
        "unexpected: optimizer.v.b9",
        "unexpected: momentum",
        "iter has the shape (2,), but a number is wanted",
    ):
        assert f"\n  {line}" in told
    assert told.count("\n") == 6
    for key, value in rule.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_state_of_another_optimizer_is_refused(given):
    params, grads = ({key: np.asarray(v) for key, v in named.items()} for named in given)
    rule = RMSprop()
    rule.update(params, grads)
    with pytest.raises(OptimizerError, match=r"missing: momentum(.|\n)*unexpected: decay_rate"):
        Momentum().load_state_dict(rule.state_dict())
    with pytest.raises(OptimizerError, match="missing: eps"):
        AdamW().load_state_dict({**Adam().state_dict(), "weight_decay": 0.1})


def test_moments_of_one_kind_alone_are_refused():
    state = {**Adam().state_dict(), "m.W": np.zeros(2)}
    with pytest.raises(OptimizerError, match=r"missing: v\.W"):
        Adam().load_state_dict(state)


def test_optimizer_within_that_does_not_name_its_state_is_refused():
    class Own:
        lr = 0.1

        def update(self, params, grads):
            """Do nothing."""

    with pytest.raises(OptimizerError, match=r"koubai\.optimizers\.Rule"):
        ClipNorm(Own(), 1.0).state_dict()
    assert list(ClipNorm(SGD(), 1.0).state_dict()) == ["max_norm", "optimizer.lr"]
