"""create_graph: derivatives of derivatives, and check_gradients with order=2, which proves them."""

import numpy as np
import pytest

import koubai
from koubai import Affine, Layer, Network, Relu, Sigmoid, Tanh, check_gradients, to_numpy
from koubai.errors import GraphError, KoubaiError
from koubai.gradcheck.cases import CASES
from koubai.graph import Variable, no_grad

LABELS = np.asarray([0, 2, 1])


@pytest.fixture
def array(device, dtype):
    return lambda values: device.asarray(np.asarray(values), dtype=dtype)


def derivatives(function, x, count):
    """Give the derivatives of a function from the first to the last asked for."""
    y, found = function(x), []
    for _ in range(count):
        y.sum().backward(create_graph=True)
        y = x.grad
        found.append(y)
    return found


def test_three_derivatives_of_a_cube(array):
    x = Variable(array([2.0, -1.5]))
    found = derivatives(lambda x: x**3, x, 3)
    for each, wanted in zip(found, ([12, 6.75], [12, -9], [6, 6]), strict=True):
        np.testing.assert_allclose(to_numpy(each.array), wanted, 1e-5)


def test_three_derivatives_of_a_number():
    x = Variable(2.0)
    assert [float(each) for each in derivatives(lambda x: x**3, x, 3)] == [12.0, 12.0, 6.0]


def test_three_derivatives_of_a_polynomial(array):
    x = Variable(array([0.5, 2.0]))
    found = derivatives(lambda x: x * x * x * x - 2.0 * x * x / 4.0 + x, x, 3)
    v = np.asarray([0.5, 2.0])
    for each, wanted in zip(found, (4 * v**3 - v + 1, 12 * v**2 - 1, 24 * v), strict=True):
        np.testing.assert_allclose(to_numpy(each.array), wanted, 1e-5)


def test_three_derivatives_of_the_hyperbolic_tangent(array):
    x = Variable(array([0.5, -1.0]))
    found = derivatives(lambda x: Tanh().forward(x), x, 3)
    t = np.tanh([0.5, -1.0])
    s = 1 - t * t
    for each, wanted in zip(found, (s, -2 * t * s, s * (6 * t * t - 2)), strict=True):
        np.testing.assert_allclose(to_numpy(each.array), wanted, 1e-4)


def test_second_derivative_of_softmax(array):
    """The derivative of sum_i c_i p_i is p (c - <c, p>); its Jacobian is known as well."""
    z, c, u = np.asarray([0.2, -1.0, 0.7]), np.asarray([1.0, 2.0, -1.0]), np.asarray([1.0, 0.5, 3])
    x = Variable(array(z))
    (koubai.softmax(x) * array(c)).sum().backward(create_graph=True)
    p = np.exp(z) / np.exp(z).sum()
    d = c - c @ p
    np.testing.assert_allclose(to_numpy(x.grad.array), p * d, 1e-4, 1e-6)
    (x.grad * array(u)).sum().backward()
    jacobian = np.diag(p) - np.outer(p, p)
    hessian = np.diag(d) @ jacobian - np.outer(p, c @ jacobian)
    np.testing.assert_allclose(to_numpy(x.grad), u @ hessian, 1e-4, 1e-6)


def test_mixed_derivative(array):
    x, y = Variable(array(3.0)), Variable(array(2.0))
    (x * x * y).backward(create_graph=True)
    x.grad.backward()
    assert float(y.grad) == pytest.approx(6.0)


def test_gradients_are_variables_only_when_a_graph_is_asked_for(array):
    x = Variable(array([1.0]))
    (x * x).sum().backward()
    assert not isinstance(x.grad, Variable)
    (x * x).sum().backward(create_graph=True)
    assert isinstance(x.grad, Variable)


def test_graph_is_built_of_gradients_even_within_no_grad():
    x = Variable(np.asarray([2.0]))
    y = (x * x * x + x * x).sum()
    with no_grad():
        y.backward(create_graph=True)
    x.grad.sum().backward()
    np.testing.assert_allclose(x.grad, [14.0])


def test_exponent_has_its_mixed_derivative_at_zero():
    x, y = Variable(np.asarray([3.0])), Variable(np.asarray([0.0]))
    (x**y).sum().backward(create_graph=True)
    x.grad.sum().backward()
    np.testing.assert_allclose(y.grad, [1 / 3])


def test_integer_labels_may_be_a_variable():
    network = Network([Affine(np.eye(3), np.zeros(3))])
    x = Variable(np.asarray([[0.1, 0.2, 0.3]]))
    network.loss(x, Variable(np.asarray([2], np.int32))).backward(create_graph=True)
    first = x.grad
    (first * first).sum().backward()
    assert np.all(np.isfinite(x.grad))


def network_of(array, draw):
    return Network(
        [
            Affine(array(draw(4, 5)), array(draw(5))),
            Tanh(),
            Affine(array(draw(5, 4)), array(draw(4))),
            Sigmoid(),
            Affine(array(draw(4, 3)), array(draw(3))),
        ]
    )


def test_gradient_penalty_trains_a_network(device, dtype, array):
    """The penalty is a function of gradients; its own gradients arrive in network.grads."""
    if dtype != "float64":
        pytest.skip("held against numerical differences, which are float64")
    draw = np.random.default_rng(0).standard_normal
    x, t, network = draw((3, 4)), device.asarray(LABELS), network_of(array, lambda *n: draw(n))

    def penalized(values):
        v = Variable(values)
        loss = network.loss(v, t)
        loss.backward(create_graph=True)
        return loss + 0.5 * (v.grad * v.grad).sum()

    penalized(array(x)).backward()
    found = {key: to_numpy(network.grads[key]) for key in network.grads}
    for key in ("W1", "b1", "W2", "b3"):
        kept = network.params[key]

        def at(W, key=key):
            network.params[key] = W
            return penalized(array(x)).array

        host = to_numpy(kept)
        v = np.random.default_rng(1).standard_normal(host.shape)
        h = 1e-5
        slope = (float(at(array(host + h * v))) - float(at(array(host - h * v)))) / (2 * h)
        network.params[key] = kept
        assert slope == pytest.approx(float(np.sum(found[key] * v)), rel=1e-6, abs=1e-8)


# The proof of second derivatives


def small(case):
    """JAX compiles every operation anew for each shape: some cases are enough there."""
    return case.name in {"MulLayer", "Sigmoid", "Affine", "SoftmaxWithLoss", "PowLayer-number"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_second_derivatives_of_every_layer_are_right(case, device, dtype):
    if dtype != "float64" or str(device).endswith((":1", "device1", "device2")):
        pytest.skip("proved in float64, on the first device of a library")
    if device.backend.name == "jax" and not small(case):
        pytest.skip("a few cases are enough where each operation is compiled anew")
    target, inputs = case.make(device, dtype)
    check_gradients(target, *inputs, order=2).raise_if_failed()


class Detached(Sigmoid):
    """The right first derivative, from an array that the graph does not see."""

    def forward(self, x):
        y = super().forward(x)
        self.kept = getattr(y, "array", y)
        return y

    def backward(self, dout):
        return dout * (self.kept * (1.0 - self.kept))


class HalfDetached(Affine):
    """The right gradients; that of W hangs on x, but not in the graph."""

    def backward(self, dout):
        dx = super().backward(dout)
        self.dW = koubai.array_namespace(dout).matmul(getattr(self.x, "array", self.x).T, dout)
        return dx


def test_right_gradient_with_a_wrong_second_derivative_is_found():
    x = np.random.default_rng(0).standard_normal((3, 4))
    check_gradients(Detached(), x).raise_if_failed()
    report = check_gradients(Detached(), x, order=2)
    assert {row.name: row.verdict for row in report.rows} == {"x": "FAIL", "dout": "PASS"}


def test_wrong_second_derivative_of_a_parameter_is_found():
    draw = np.random.default_rng(0).standard_normal
    layer, x = HalfDetached(draw((4, 2)), draw(2)), draw((3, 4))
    check_gradients(layer, x).raise_if_failed()
    verdicts = {row.name: row.verdict for row in check_gradients(layer, x, order=2).rows}
    assert (verdicts["x"], verdicts["W"], verdicts["dout"]) == ("FAIL", "PASS", "PASS")


def test_kink_is_no_wrong_second_derivative():
    check_gradients(Relu(), np.asarray([1.0, -2.0, 0.5]), order=2).raise_if_failed()


@pytest.mark.parametrize("order", [0, 3, "2"])
def test_only_two_orders_are_known(order):
    with pytest.raises(KoubaiError, match=r"order is .*1 or 2"):
        check_gradients(Relu(), np.ones(2), order=order)


def test_target_of_the_check_is_left_alone():
    layer = Affine(np.eye(2), np.zeros(2))
    before = dict(vars(layer))
    check_gradients(layer, np.ones((1, 2)), order=2)
    assert vars(layer) == before


# What is run again for the graph of gradients


def test_random_layer_is_no_base_for_a_graph_of_gradients():
    class Noise(Layer):
        def __init__(self):
            self.rng = np.random.default_rng(0)

        def forward(self, x):
            self.mask = self.rng.standard_normal(x.shape)
            return x * self.mask

        def backward(self, dout):
            return dout * self.mask

    y = Noise().forward(Variable(np.ones(4))).sum()
    with pytest.raises(GraphError, match=r"Noise .*another one.*random"):
        y.backward(create_graph=True)


def test_array_changed_in_place_is_seen_though_the_layer_does_not_hold_it():
    x = np.asarray([1.0, 2.0])
    y = Variable(x).exp().sum()
    x += 1
    with pytest.raises(GraphError, match=r"Exp .*changed in place"):
        y.backward(create_graph=True)
