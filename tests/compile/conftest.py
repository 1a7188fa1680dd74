"""What the tests of compiled steps share: training twice, by hand and compiled."""

import numpy as np
import pytest

import koubai
from koubai import to_numpy


@pytest.fixture
def same_training():
    return train_both_ways


@pytest.fixture
def distance():
    return distance_between


@pytest.fixture(params=["numpy", "torch:cpu", "jax:cpu", "array_api_strict:device1"])
def place(request):
    """Give one device of every backend, for what does not depend on device or dtype."""
    return working(request.param)


@pytest.fixture(params=["numpy", "jax:cpu"])
def recorder(request):
    """Give a device of the backends that run the layers only once."""
    return working(request.param)


@pytest.fixture
def batch(place):
    """Give a function that makes a batch of order 1 and its labels."""

    def make(n=7, d=4, classes=3, seed=0):
        rng = np.random.default_rng(seed)
        x, t = rng.standard_normal((n, d)), rng.integers(0, classes, n)
        return place.asarray(x, dtype="float32"), place.asarray(t)

    return make


def train_both_ways(make_network, make_optimizer, batches, tolerance, change=None):
    """
    Train two equal networks, one by hand and one compiled, and see that they stay equal.

    ``change(i, network, optimizer)`` is done to both before batch i. What comes back are
    the step and the network trained by hand.
    """
    eager, compiled = make_network(), make_network()
    by_hand, optimizer = make_optimizer(), make_optimizer()
    step = koubai.compile_step(compiled, optimizer)
    for i, (x, t) in enumerate(batches):
        if change is not None:
            change(i, eager, by_hand)
            change(i, compiled, optimizer)
        grads = eager.gradient(x, t)
        expected = float(eager.last_layer.loss)
        by_hand.update(eager.params, grads)
        loss = step(x, t)
        assert loss.shape == ()
        if type(eager).loss is koubai.Network.loss:
            assert float(loss) == pytest.approx(expected, rel=20 * tolerance, abs=20 * tolerance)
        assert compiled.dtype == eager.dtype
        assert compiled.device == eager.device
    assert distance_between(eager, compiled) <= tolerance
    return step, eager


def distance_between(one, other):
    """Give the norm of the difference of all parameters, by the norm of all parameters."""
    mine, yours = joined(one), joined(other)
    assert np.isfinite(mine).all()
    return np.linalg.norm(mine - yours) / np.linalg.norm(mine)


def joined(network):
    parts = [to_numpy(array).astype(np.float64).ravel() for array in network.params.values()]
    return np.concatenate(parts)


def working(spec):
    status = {each.device: each for each in koubai.devices()}.get(spec)
    if status is None or status.state != "works":
        pytest.skip(f"{spec} does not work here: {getattr(status, 'reason', 'not installed')}")
    return koubai.device(spec)
