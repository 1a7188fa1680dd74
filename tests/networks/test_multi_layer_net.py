"""MultiLayerNet: the book's network of any depth, with weight decay."""

import numpy as np
import pytest

import koubai
from koubai import to_numpy
from koubai.errors import KoubaiError
from koubai.graph import Variable
from koubai.networks import MultiLayerNet
from koubai.networks.multi_layer_net import SquaredNorm
from koubai.optimizers import SGD, Momentum

DECAY = 0.3


@pytest.fixture
def net(device, dtype):
    return deep(device, dtype)


@pytest.fixture
def batch(device, dtype):
    return labelled(device, dtype)


def deep(device, dtype, decay=DECAY, activation="tanh"):
    kind = "relu" if activation == "relu" else "sigmoid"
    return MultiLayerNet(4, [6, 5], 3, activation, kind, decay, device=device, dtype=dtype, rng=0)


def labelled(device, dtype="float64"):
    x = np.random.default_rng(1).standard_normal((5, 4))
    return device.asarray(x, dtype=dtype), device.asarray([0, 2, 1, 1, 0])


def penalty(net):
    weights = [to_numpy(array) for key, array in net.params.items() if key.startswith("W")]
    return 0.5 * DECAY * sum(np.sum(W.astype(np.float64) ** 2) for W in weights)


def near(dtype):
    return {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-12}


def test_layers_and_names():
    net = MultiLayerNet(784, [100, 50, 20], 10)
    assert list(net.params) == ["W1", "b1", "W2", "b2", "W3", "b3", "W4", "b4"]
    assert [net.params[f"W{i}"].shape for i in range(1, 5)] == [
        (784, 100),
        (100, 50),
        (50, 20),
        (20, 10),
    ]
    kinds = ["Affine1", "Relu1", "Affine2", "Relu2", "Affine3", "Relu3", "Affine4"]
    assert list(net.layers) == kinds
    assert list(MultiLayerNet(4, [], 3).layers) == ["Affine1"]
    assert "Sigmoid1" in MultiLayerNet(4, [3], 2, "sigmoid", "xavier").layers


def test_weights_are_drawn_as_for_relu_unless_told(device, dtype):
    net = MultiLayerNet(40, [50], 3, device=device, dtype=dtype, rng=2)
    draw = np.random.default_rng(2).standard_normal
    expected = (2 / 40) ** 0.5 * draw((40, 50)), (2 / 50) ** 0.5 * draw((50, 3))
    for key, W in zip(("W1", "W2"), expected, strict=True):
        np.testing.assert_array_equal(to_numpy(net.params[key]), W.astype(dtype))


def test_loss_has_the_penalty(net, batch, dtype):
    plain = float(deep(net.device, dtype, 0).loss(*batch))
    assert float(net.loss(*batch)) == pytest.approx(plain + penalty(net), rel=1e-5)
    assert float(net.last_layer.loss) == pytest.approx(plain, rel=1e-5)


def test_gradient_has_that_of_the_penalty_on_weights_alone(net, batch, dtype):
    plain, decayed = deep(net.device, dtype, 0).gradient(*batch), net.gradient(*batch)
    for key, gradient in decayed.items():
        more = DECAY * to_numpy(net.params[key]) if key.startswith("W") else 0.0
        np.testing.assert_allclose(to_numpy(gradient), to_numpy(plain[key]) + more, **near(dtype))
        np.testing.assert_array_equal(to_numpy(net.grads[key]), to_numpy(gradient))


def test_backward_has_it_too_and_scales_it(net, batch, device, dtype):
    grads = net.gradient(*batch)
    for dout in (1, 2.0, device.asarray(3.0, dtype=dtype)):
        net.loss(*batch)
        assert net.backward(dout).shape == (5, 4)
        for key, gradient in net.grads.items():
            expected = float(dout) * to_numpy(grads[key])
            np.testing.assert_allclose(to_numpy(gradient), expected, **near(dtype))


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_are_proved(activation, order):
    place = koubai.device("cpu")
    net = deep(place, "float64", activation=activation)
    for key in ("b1", "b2", "b3"):  # zeros would lie on a kink where no unit in front is active
        net.params[key] += 0.1
    koubai.check_gradients(net, *labelled(place), order=order).raise_if_failed()


def test_gradients_are_proved_on_every_device(net, batch):
    koubai.check_gradients(net, *batch).raise_if_failed()


def test_numerical_gradient_agrees():
    place = koubai.device("cpu")
    net, batch = deep(place, "float64"), labelled(place)
    grads, numeric = net.gradient(*batch), net.numerical_gradient(*batch)
    for key, gradient in grads.items():
        np.testing.assert_allclose(gradient, numeric[key], atol=1e-7)


def test_penalty_is_proved(device, dtype):
    W = device.asarray(np.random.default_rng(0).standard_normal((3, 4)), dtype=dtype)
    koubai.check_gradients(SquaredNorm(0.7), W).raise_if_failed()


def test_graph_goes_through_the_penalty(net, batch, dtype):
    x, t = batch
    grads, expected = net.gradient(x, t), float(net.loss(x, t))
    loss = net.loss(Variable(x), t)
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    loss.backward()
    for key, gradient in grads.items():
        np.testing.assert_allclose(to_numpy(net.grads[key]), to_numpy(gradient), **near(dtype))


def test_decay_may_be_changed_and_zero_costs_nothing(net, batch):
    with_decay = float(net.loss(*batch))
    net.weight_decay_lambda = 0
    assert float(net.loss(*batch)) == pytest.approx(with_decay - penalty(net), rel=1e-4)
    assert not list(net._penalties())


@pytest.mark.parametrize("decay", [0, DECAY])
def test_compiled_step_is_that_by_hand(net, batch, dtype, decay):
    net.weight_decay_lambda = decay
    twin, by_hand = net.copy(), Momentum(0.05)
    step = koubai.compile_step(twin, Momentum(0.05))
    for _ in range(5):
        expected = float(net.loss(*batch))
        by_hand.update(net.params, net.gradient(*batch))
        assert float(step(*batch)) == pytest.approx(expected, rel=1e-5)
    for key, array in net.params.items():
        np.testing.assert_allclose(to_numpy(twin.params[key]), to_numpy(array), **near(dtype))


def test_decay_changed_between_compiled_steps_takes_effect(same_decay_training):
    same_decay_training([0.1, 0.1, 0.4, 0.0, 0.1])


@pytest.fixture
def same_decay_training(device, dtype):
    def train(decays):
        net, twin, batch = deep(device, dtype), deep(device, dtype), labelled(device, dtype)
        by_hand, step = SGD(0.1), koubai.compile_step(twin, SGD(0.1))
        for decay in decays:
            net.weight_decay_lambda = twin.weight_decay_lambda = decay
            by_hand.update(net.params, net.gradient(*batch))
            step(*batch)
        for key, array in net.params.items():
            np.testing.assert_allclose(to_numpy(twin.params[key]), to_numpy(array), **near(dtype))

    return train


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: MultiLayerNet(4, [3], 2, activation="gelu"),
        lambda: MultiLayerNet(4, [3], 2, weight_init_std="kaiming"),
        lambda: MultiLayerNet(4, [3], 2, weight_decay_lambda=-0.1),
        lambda: MultiLayerNet(4, [3], 2, weight_decay_lambda=float("nan")),
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(KoubaiError):
        wrong()
