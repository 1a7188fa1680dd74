"""The same seed trains to the same losses on every backend."""

import functools

import numpy as np

import koubai
from koubai import TwoLayerNet, load_mnist


@functools.cache
def images():
    (x_train, t_train), _ = load_mnist(device="cpu", dtype="float64")
    return x_train[:1000], t_train[:1000]


def losses_of_training(place, dtype):
    x, t = (place.asarray(a, dtype=d) for a, d in zip(images(), (dtype, None), strict=True))
    net = TwoLayerNet(784, 50, 10, device=place, dtype=dtype, rng=0)
    losses = []
    for step in range(100):
        start = 100 * (step % 10)
        grads = net.gradient(x[start : start + 100, ...], t[start : start + 100])
        losses.append(float(net.last_layer.loss))
        for key in net.params:
            net.params[key] -= 0.1 * grads[key]
    return losses


@functools.cache
def losses_on_numpy(dtype):
    return losses_of_training(koubai.device("cpu"), dtype)


def test_losses_agree_with_numpy_for_a_hundred_steps(device, dtype):
    tolerance = 1e-4 if dtype == "float32" else 1e-10
    losses = losses_of_training(device, dtype)
    np.testing.assert_allclose(losses, losses_on_numpy(dtype), rtol=tolerance)
    assert losses[-1] < 0.6 * losses[0]
