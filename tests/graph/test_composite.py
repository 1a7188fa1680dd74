"""Layers that hold layers, as nodes of a graph."""

from operator import attrgetter

import numpy as np
import pytest

import koubai
from koubai.backend import to_numpy
from koubai.errors import GraphError
from koubai.gradcheck import numerical_gradient
from koubai.graph import Variable, draw, jvp
from koubai.layers import Affine, Layer, Tanh


class Residual(Layer):
    """x + tanh(x W + b), written with layers of its own."""

    def __init__(self, W, b):
        self.affine = Affine(W, b)
        self.inside = [self.affine, {"tanh": Tanh()}]

    def forward(self, x):
        affine, named = self.inside
        return x + named["tanh"].forward(affine.forward(x))

    def backward(self, dout):
        affine, named = self.inside
        return dout + affine.backward(named["tanh"].backward(dout))


class Shown(Residual):
    """The same, with its parameters at hand as a network wants them."""

    parameters = ("W", "b")


for name in ("W", "b"):
    read = attrgetter(f"affine.{name}")
    setattr(Shown, name, property(read, lambda self, v, name=name: setattr(self.affine, name, v)))
    setattr(Shown, f"d{name}", property(attrgetter(f"affine.d{name}")))

W = np.asarray([[0.5, -0.25], [0.125, 1.0]])
b = np.asarray([0.1, -0.2])
X1, X2 = np.asarray([[1.0, 2.0], [3.0, -1.0]]), np.asarray([[-0.5, 0.25], [0.75, 2.0]])


@pytest.fixture
def array(device, dtype):
    return lambda values: device.asarray(np.asarray(values), dtype=dtype)


@pytest.fixture(params=[Residual, Shown])
def make(request, array):
    return lambda: request.param(array(W), array(b))


def explicit(x):
    """Give dx, dW and db of sum(f(x)) by the layers, on NumPy in float64."""
    layer = Residual(W, b)
    layer.forward(x)
    return layer.backward(np.ones_like(x)), layer.affine.dW, layer.affine.db


def assert_close(found, expected):
    np.testing.assert_allclose(
        to_numpy(getattr(found, "array", found)), expected, rtol=1e-4, atol=1e-6
    )


def test_a_composite_layer_used_twice_has_the_gradients_of_both_uses(make, array):
    layer, x1, x2 = make(), Variable(array(X1)), Variable(array(X2))
    (layer.forward(x1) + layer.forward(x2)).sum().backward()
    (dx1, dW1, db1), (dx2, dW2, db2) = explicit(X1), explicit(X2)
    assert_close(x1.grad, dx1)
    assert_close(x2.grad, dx2)
    assert_close(layer.affine.dW, dW1 + dW2)
    assert_close(layer.affine.db, db1 + db2)


def test_a_composite_layer_after_itself(make, array):
    """f(f(x)): the second use must not disturb what the first one kept."""
    layer, x = make(), Variable(array(X1))
    layer.forward(layer.forward(x)).sum().backward()
    first, second = Residual(W, b), Residual(W, b)
    second.forward(first.forward(X1))
    dx = first.backward(second.backward(np.ones_like(X1)))
    assert_close(x.grad, dx)
    assert_close(layer.affine.dW, first.affine.dW + second.affine.dW)


def test_a_composite_layer_may_run_on_before_backward(make, array):
    layer, x = make(), Variable(array(X1))
    y = layer.forward(x).sum()
    layer.forward(array(X2))
    y.backward()
    assert_close(x.grad, explicit(X1)[0])


def test_second_derivatives_through_a_composite_layer(make, array):
    """The gradient of |df/dx|^2, against its numerical one."""
    layer, x = make(), Variable(array(X1))
    layer.forward(x).sum().backward(create_graph=True)
    assert_close(x.grad, explicit(X1)[0])
    (x.grad * x.grad).sum().backward()
    numerical = numerical_gradient(lambda moved: (explicit(moved)[0] ** 2).sum(), X1)
    assert_close(x.grad, numerical)


def test_forward_mode_agrees_with_reverse_mode_through_a_composite_layer(make, array):
    layer = make()
    _, forwards = jvp(lambda x: layer.forward(x).sum(), (array(X1),), (array(X2),))
    assert_close(forwards, (explicit(X1)[0] * X2).sum())


def test_a_picture_shows_each_parameter_once():
    text = draw(Shown(W, b).forward(Variable(X1, "x")).sum()).dot
    assert (text.count("<W>"), text.count("<b>")) == (1, 1)


class Either(Layer):
    """One of two layers, as a switch says."""

    def __init__(self, *layers):
        self.layers = layers
        self.chosen = 0

    def forward(self, x):
        return self.layers[self.chosen].forward(x)

    def backward(self, dout):
        return self.layers[self.chosen].backward(dout)


def test_a_layer_inside_that_is_left_out_has_no_gradient(array):
    layer = Either(Affine(array(W), array(b)), Affine(array(W), array(b)))
    first, second = layer.layers
    layer.forward(Variable(array(X1))).sum().backward()
    assert_close(first.dW, np.repeat(X1.sum(axis=0)[:, None], 2, axis=1))
    layer.chosen = 1
    layer.forward(Variable(array(X2))).sum().backward()
    assert_close(second.dW, np.repeat(X2.sum(axis=0)[:, None], 2, axis=1))
    assert first.dW is None


def test_a_parameter_inside_changed_in_place_is_found():
    layer = Residual(W.copy(), b.copy())
    y = layer.forward(Variable(X1)).sum()
    layer.affine.W[0, 0] = 7.0
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


def test_a_network_of_composite_layers_learns_through_variables(array):
    net = koubai.Network([Shown(array(W), array(b)), Shown(array(W.T), array(b))])
    t = array(np.asarray([[1.0, 0.0], [0.0, 1.0]]))
    grads = {key: to_numpy(value) for key, value in net.gradient(array(X1), t).items()}
    net.loss(Variable(array(X1)), t).backward()
    assert set(grads) == {"W1", "b1", "W2", "b2"}
    for key, value in grads.items():
        assert_close(net.grads[key], value)
