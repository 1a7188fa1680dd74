"""Networks and layers take Variables, and leave the gradients that they leave without."""

from collections import OrderedDict

import numpy as np
import pytest

import koubai
from koubai import (
    Affine,
    IdentityWithLoss,
    Layer,
    Network,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    Tanh,
    TwoLayerNet,
    to_numpy,
)
from koubai.errors import LabelError
from koubai.gradcheck.cases import CASES
from koubai.graph import Variable
from koubai.networks.chain import forward

LABELS = [0, 2, 1, 1, 0]
ENOUGH_FOR_JAX = {"MulLayer-broadcast", "PowLayer-number", "Max-axis", "SoftmaxWithLoss"}


@pytest.fixture
def array(device, dtype):
    return lambda values: device.asarray(np.asarray(values), dtype=dtype)


@pytest.fixture
def draw(array):
    rng = np.random.default_rng(1)
    return lambda *shape: array(rng.standard_normal(shape))


@pytest.fixture
def near(dtype):
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]

    def compare(found, wanted):
        hosts = [np.asarray(a) if type(a) in (int, float) else to_numpy(a) for a in (found, wanted)]
        np.testing.assert_allclose(*hosts, tolerance, tolerance)

    return compare


def agree(network, x, t, near):
    """Hold what the graph leaves in a network against its own gradient and backward."""
    wanted = network.gradient(x, t)
    network.loss(x, t)
    dx = network.backward()
    v = Variable(x)
    loss = network.loss(v, t)
    near(loss.array, network.last_layer.loss)
    loss.backward()
    near(v.grad, dx)
    assert list(network.grads) == list(wanted)
    for key, gradient in wanted.items():
        near(network.grads[key], gradient)


class Double:
    """A reader's layer, which has no base."""

    def forward(self, x):
        return 2 * x

    def backward(self, dout):
        return 2 * dout


class Scale:
    """A reader's layer that learns, and has no base."""

    parameters = ("s",)

    def __init__(self, s):
        self.s = s

    def forward(self, x):
        self.x = x
        return x * self.s

    def backward(self, dout):
        xp = koubai.array_namespace(dout)
        self.ds = xp.sum(dout * self.x, axis=0)
        return dout * self.s


def test_two_layer_net(device, dtype, draw, near):
    network = TwoLayerNet(4, 6, 3, 0.5, device=device, dtype=dtype, rng=0)
    agree(network, draw(5, 4), device.asarray(LABELS), near)


def test_network_with_every_activation(device, draw, near):
    layers = [Affine(draw(4, 5), draw(5)), Relu(), Affine(draw(5, 5), draw(5)), Sigmoid(), Tanh()]
    agree(Network([*layers, Affine(draw(5, 3), draw(3))]), draw(5, 4), device.asarray(LABELS), near)


def test_network_that_ends_in_a_regression(draw, near):
    network = Network([Affine(draw(4, 5), draw(5)), Tanh()], IdentityWithLoss())
    agree(network, draw(5, 4), draw(5, 5), near)


def test_network_with_layers_of_a_reader(device, draw, near):
    network = Network([Double(), Affine(draw(4, 3), draw(3)), Scale(draw(3))])
    agree(network, draw(5, 4), device.asarray(LABELS), near)


def test_network_of_images_and_of_one_sample(device, draw, near):
    network = Network([Affine(draw(12, 3), draw(3))])
    agree(network, draw(5, 3, 2, 2), device.asarray(LABELS), near)
    agree(network, draw(12), device.asarray(2), near)


def test_book_style_network_of_a_reader(device, draw, near):
    class Net:
        def __init__(self):
            self.params = {"W1": draw(4, 6), "b1": draw(6), "W2": draw(6, 3), "b2": draw(3)}
            self.layers = OrderedDict()
            self.layers["Affine1"] = Affine(self.params["W1"], self.params["b1"])
            self.layers["Relu1"] = Relu()
            self.layers["Affine2"] = Affine(self.params["W2"], self.params["b2"])
            self.lastLayer = SoftmaxWithLoss()

        def loss(self, x, t):
            for layer in self.layers.values():
                x = layer.forward(x)
            return self.lastLayer.forward(x, t)

    net, x, t = Net(), draw(5, 4), device.asarray(LABELS)
    net.loss(x, t)
    dout = net.lastLayer.backward(1)
    for layer in reversed(net.layers.values()):
        dout = layer.backward(dout)
    learners = [net.layers["Affine1"], net.layers["Affine2"]]
    wanted = [(layer.dW, layer.db) for layer in learners]
    v = Variable(x)
    net.loss(v, t).backward()
    near(v.grad, dout)
    for layer, (dW, db) in zip(learners, wanted, strict=True):
        near(layer.dW, dW)
        near(layer.db, db)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_layer_gives_the_same_on_variables(case, device, dtype, near):
    if device.backend.name == "jax" and case.name not in ENOUGH_FOR_JAX:
        pytest.skip("a few cases are enough where each operation is compiled anew")
    target, inputs = case.make(device, dtype)
    run = getattr(target, "loss" if hasattr(target, "layers") else "forward")
    y = run(*inputs)
    dout = 1.0 if type(y) in (int, float) else y * 0 + 1
    dx = target.backward(dout)
    given = [Variable(a) if "int" not in str(getattr(a, "dtype", "")) else a for a in inputs]
    out = run(*given)
    out.backward(dout)
    assert isinstance(out, Variable)
    for variable, wanted in zip(given, dx if isinstance(dx, tuple) else (dx,), strict=False):
        if wanted is not None:
            near(variable.grad, wanted)


def test_networks_that_share_an_array_get_a_gradient_each(device, draw, near):
    W, b = draw(4, 3), draw(3)
    one, other = Network([Affine(W, b)]), Network([Affine(W, b)])
    x1, x2, t = draw(5, 4), draw(5, 4), device.asarray(LABELS)
    wanted = one.gradient(x1, t), other.gradient(x2, t)
    (one.loss(Variable(x1), t) + other.loss(Variable(x2), t)).backward()
    for network, gradients in zip((one, other), wanted, strict=True):
        for key in gradients:
            near(network.grads[key], gradients[key])


def test_two_losses_of_one_network_add_up(device, draw, near):
    network = Network([Affine(draw(4, 3), draw(3))])
    x1, x2, t = draw(5, 4), draw(5, 4), device.asarray(LABELS)
    first, second = dict(network.gradient(x1, t)), dict(network.gradient(x2, t))
    (network.loss(Variable(x1), t) + network.loss(Variable(x2), t)).backward()
    for key, gradient in first.items():
        near(network.grads[key], gradient + second[key])


def test_network_trains_through_the_graph(device, dtype, draw):
    network = TwoLayerNet(4, 6, 3, 0.5, device=device, dtype=dtype, rng=0)
    x, t = draw(5, 4), device.asarray(LABELS)
    losses = []
    for _ in range(5):
        loss = network.loss(Variable(x), t)
        loss.backward()
        losses.append(float(loss))
        for key in network.params:
            network.params[key] -= 0.1 * network.grads[key]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.98 * losses[0]


def test_loss_of_a_network_may_go_on(device, draw, near):
    network = Network([Affine(draw(4, 3), draw(3))])
    x, t = draw(5, 4), device.asarray(LABELS)
    wanted = dict(network.gradient(x, t))
    penalty = Variable(draw(3))
    (3.0 * network.loss(Variable(x), t) + (penalty * penalty).sum()).backward()
    for key, gradient in wanted.items():
        near(network.grads[key], 3 * gradient)
    near(penalty.grad, 2 * penalty.array)


@pytest.mark.parametrize("bad", [-1, 3])
def test_bad_label_is_still_an_error(device, dtype, draw, bad):
    network = TwoLayerNet(4, 6, 3, 0.5, device=device, dtype=dtype, rng=0)
    with pytest.raises(LabelError, match=rf"t\[1\] is {bad}, .*from 0 to 2"):
        network.loss(Variable(draw(5, 4)), device.asarray([0, bad, 1, 1, 0]))


def test_labels_may_be_a_variable_and_get_no_gradient(device, draw, near):
    network = Network([Affine(draw(4, 3), draw(3))])
    x, t = draw(5, 4), Variable(device.asarray(LABELS))
    wanted = dict(network.gradient(x, t.array))
    network.loss(Variable(x), t).backward()
    assert t.grad is None
    near(network.grads["W1"], wanted["W1"])


def test_layer_takes_a_variable_by_keyword(draw):
    y = Relu().forward(x=Variable(draw(3)))
    y.sum().backward()
    assert y.creator.inputs[0].grad is not None


def test_layer_of_a_reader_without_a_base_becomes_one_node(draw):
    y = forward(Double(), Variable(draw(3)))
    assert repr(y.creator) == "Node(Double)"


def test_subclass_that_calls_the_forward_of_its_base_is_one_node(draw, near):
    class Twice(Relu):
        def forward(self, x):
            return 2.0 * super().forward(x)

        def backward(self, dout):
            return super().backward(2.0 * dout)

    layer, x = Twice(), draw(3, 2)
    v = Variable(x)
    y = layer.forward(v)
    y.sum().backward()
    assert (repr(y.creator), y.creator.inputs[0] is v) == ("Node(Twice)", True)
    near(v.grad, 2.0 * (x > 0) if isinstance(x, np.ndarray) else layer.backward(y.array * 0 + 1))


def test_layer_of_two_inputs_tells_variables_from_constants(draw):
    class Weighted(Layer):
        def forward(self, x, w):
            self.x, self.w = x, w
            return x * w

        def backward(self, dout):
            return dout * self.w, dout * self.x

    x, w = draw(3), draw(3)
    v = Variable(x)
    Weighted().forward(v, w).sum().backward()
    np.testing.assert_allclose(to_numpy(v.grad), to_numpy(w))
    v = Variable(w)
    Weighted().forward(x, w=v).sum().backward()
    np.testing.assert_allclose(to_numpy(v.grad), to_numpy(x))
