"""The optimizers: the book's rules on every device."""

import numpy as np
import pytest

import koubai
from koubai import SGD, Momentum, TwoLayerNet, to_numpy

P = {"W1": [[1.0, -2.0], [0.5, 0.0]], "b1": [3.0, -1.0]}
G = {"W1": [[0.5, 1.0], [-2.0, 4.0]], "b1": [-1.0, 0.0]}


@pytest.fixture
def arrays(device, dtype):
    return lambda named: {key: device.asarray(value, dtype=dtype) for key, value in named.items()}


def test_sgd_takes_the_gradient_times_the_rate_away(arrays):
    params = arrays(P)
    SGD(lr=0.5).update(params, arrays(G))
    for key, array in params.items():
        np.testing.assert_allclose(to_numpy(array), np.subtract(P[key], 0.5 * np.asarray(G[key])))


def test_momentum_first_step_is_that_of_sgd(arrays):
    params, same = arrays(P), arrays(P)
    Momentum(lr=0.1, momentum=0.9).update(params, arrays(G))
    SGD(lr=0.1).update(same, arrays(G))
    for key in P:
        np.testing.assert_array_equal(to_numpy(params[key]), to_numpy(same[key]))


def test_momentum_follows_its_formula(arrays, dtype):
    params, momentum = arrays(P), Momentum(lr=0.1, momentum=0.5)
    expected = {key: np.asarray(value) for key, value in P.items()}
    velocity = {key: np.zeros_like(value) for key, value in expected.items()}
    for step in range(1, 5):
        grads = {key: np.asarray(value) * step for key, value in G.items()}
        momentum.update(params, arrays(grads))
        for key in P:
            velocity[key] = 0.5 * velocity[key] - 0.1 * grads[key]
            expected[key] = expected[key] + velocity[key]
            rtol = 1e-5 if dtype == "float32" else 1e-13
            np.testing.assert_allclose(to_numpy(params[key]), expected[key], rtol, 1e-7)
            np.testing.assert_allclose(to_numpy(momentum.v[key]), velocity[key], rtol, 1e-7)


@pytest.mark.parametrize("optimizer", [SGD, Momentum])
def test_dtype_and_device_stay(arrays, device, dtype, optimizer):
    params, rule = arrays(P), optimizer(0.1)
    for _ in range(2):
        rule.update(params, arrays(G))
    found = [*params.values(), *(getattr(rule, "v", None) or {}).values()]
    assert {str(to_numpy(array).dtype) for array in found} == {dtype}
    assert {koubai.backend.device_of(array) for array in found} == {device}


@pytest.mark.parametrize("optimizer", [SGD, Momentum])
def test_gradients_are_left_as_they_were(arrays, optimizer):
    params, grads, rule = arrays(P), arrays(G), optimizer(0.1)
    for _ in range(2):
        rule.update(params, grads)
    for key, value in G.items():
        assert to_numpy(grads[key]).tolist() == value


@pytest.mark.parametrize("optimizer", [SGD, Momentum])
def test_parameters_are_written_where_they_lie_in_numpy(optimizer):
    params = {key: np.asarray(value) for key, value in P.items()}
    before = dict(params)
    optimizer(0.1).update(params, {key: np.asarray(value) for key, value in G.items()})
    assert all(params[key] is before[key] for key in params)
    assert params["b1"].tolist() == [3.1, -1.0]


@pytest.mark.parametrize("optimizer", [SGD, Momentum])
def test_network_learns(device, dtype, optimizer):
    net, rule = TwoLayerNet(4, 6, 3, 0.5, device=device, dtype=dtype, rng=0), optimizer(0.2)
    x = device.asarray(np.random.default_rng(1).standard_normal((5, 4)), dtype=dtype)
    t = device.asarray([0, 2, 1, 1, 0])
    first = float(net.loss(x, t))
    for _ in range(20):
        rule.update(net.params, net.gradient(x, t))
    assert float(net.loss(x, t)) < first


def test_optimizers_tell_their_numbers():
    assert repr(SGD(0.5)) == "SGD(lr=0.5)"
    assert repr(Momentum(0.5, 0.8)) == "Momentum(lr=0.5, momentum=0.8)"
    assert (SGD().lr, Momentum().lr, Momentum().momentum) == (0.01, 0.01, 0.9)
    assert Momentum().v is None
