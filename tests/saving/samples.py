"""What the tests of saving have in common: layers, networks, and looking at bytes."""

from itertools import pairwise

import numpy as np

import koubai
from koubai import to_numpy
from koubai.saving import register_layer, register_network


@register_layer
class Norm(koubai.Layer):
    """A layer with parameters, state and settings of every plain kind."""

    parameters = ("gamma", "beta")
    state = ("running_mean",)

    def __init__(self, gamma, beta, momentum=0.9, axes=(0,), name="norm"):
        self.gamma, self.beta = gamma, beta
        self.momentum, self.axes, self.name = momentum, axes, name
        self.running_mean = gamma * 0.0

    def forward(self, x):
        xp = self.namespace(x=x, gamma=self.gamma)
        mean = xp.mean(x, axis=self.axes)
        self.running_mean = self.momentum * self.running_mean + (1.0 - self.momentum) * mean
        return (x - mean) * self.gamma + self.beta

    def backward(self, dout):
        return dout * self.gamma


@register_network
class Named(koubai.Network):
    """A network whose __init__ takes what no Network takes, and keeps it."""

    def __init__(self, sizes, title):
        self.sizes, self.title = sizes, title
        layers = [koubai.Affine(np.ones((a, b)), np.zeros(b)) for a, b in pairwise(sizes)]
        super().__init__(layers, koubai.IdentityWithLoss())


def network_of_all(place, dtype="float32"):
    """A network with parameters, state and settings."""
    rng = np.random.default_rng(0)

    def array(*shape):
        return place.asarray(rng.standard_normal(shape), dtype=dtype)

    return koubai.Network(
        [
            koubai.Reshape((-1, 4)),
            koubai.Affine(array(4, 5), array(5)),
            Norm(array(5), array(5), 0.8, (0,), "hidden"),
            koubai.Sigmoid(),
            koubai.Affine(array(5, 3), array(3)),
            koubai.Mean(axis=-1, keepdims=True),
        ],
        koubai.IdentityWithLoss(),
    )


def kept(network):
    """All arrays of a network on the host, by name."""
    from koubai.saving.weights import _arrays

    return {key: to_numpy(array) for key, array in _arrays(network).items()}


def same(one, other):
    """Whether two dicts of arrays are alike bit for bit."""
    assert list(one) == list(other)
    for key in one:
        assert one[key].dtype == other[key].dtype, key
        assert one[key].shape == other[key].shape, key
        assert one[key].tobytes() == other[key].tobytes(), key
    return True
