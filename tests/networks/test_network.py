"""Network: the book's names on any device, live parameters, and mistakes seen at the door."""

from collections import OrderedDict

import numpy as np
import pytest

import koubai
from koubai import Affine, IdentityWithLoss, Network, Relu, Sigmoid, TwoLayerNet, to_numpy
from koubai.errors import (
    DTypeError,
    KoubaiError,
    LabelError,
    MixedArraysError,
    NotAnArrayError,
    ShapeError,
)

LABELS = [0, 2, 1, 1, 0]


def argmax_works(device):
    """array-api-strict 2.6.1 raises in argmax on its device without 64-bit numbers."""
    return not str(device).endswith("no_x64")


@pytest.fixture
def net(device, dtype):
    return TwoLayerNet(4, 6, 3, 0.5, device=device, dtype=dtype, rng=0)


@pytest.fixture
def batch(device, dtype):
    x = np.random.default_rng(1).standard_normal((5, 4))
    return device.asarray(x, dtype=dtype), device.asarray(LABELS)


@pytest.fixture
def host_net():
    return TwoLayerNet(4, 6, 3, 0.5, dtype="float64", device="cpu", rng=0)


@pytest.fixture
def host_batch():
    return np.random.default_rng(1).standard_normal((5, 4)), np.asarray(LABELS)


# The book's names


def test_names_are_those_of_the_book(net):
    assert list(net.params) == ["W1", "b1", "W2", "b2"]
    assert list(net.layers) == ["Affine1", "Relu1", "Affine2"]
    assert net.lastLayer is net.last_layer
    net.lastLayer = loss = IdentityWithLoss()
    assert net.last_layer is loss


def test_layers_of_one_kind_are_counted():
    layers = [Affine(np.eye(2), np.zeros(2)), Sigmoid(), Relu(), Relu()]
    network = Network([*layers, Affine(np.eye(2), np.zeros(2))])
    assert list(network.layers) == ["Affine1", "Sigmoid1", "Relu1", "Relu2", "Affine2"]
    assert network.params["W2"] is network.layers["Affine2"].W


def test_layer_of_a_reader_needs_no_base_class(host_batch):
    class Double:
        def forward(self, x):
            return 2 * x

        def backward(self, dout):
            return 2 * dout

    network = Network([Double(), Affine(np.ones((4, 3)), np.zeros(3))])
    np.testing.assert_array_equal(
        network.predict(host_batch[0])[0], [host_batch[0][0].sum() * 2] * 3
    )
    assert list(network.gradient(*host_batch)) == ["W1", "b1"]


def test_predict_and_loss_are_those_of_the_layers(net, batch):
    x, t = batch
    a1, r1, a2 = net.layers.values()
    scores = to_numpy(a2.forward(r1.forward(a1.forward(x))))
    np.testing.assert_array_equal(to_numpy(net.predict(x)), scores)
    rows = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = -np.log(rows[np.arange(5), LABELS]).mean()
    assert float(net.loss(x, t)) == pytest.approx(expected, rel=1e-5)
    assert float(net.last_layer.loss) == pytest.approx(expected, rel=1e-5)


def test_gradient_gives_what_backward_leaves_in_the_layers(net, batch):
    grads = net.gradient(*batch)
    net.loss(*batch)
    assert net.backward().shape == batch[0].shape
    for key, gradient in grads.items():
        np.testing.assert_array_equal(to_numpy(gradient), to_numpy(net.grads[key]))


def test_gradient_asks_no_layer_in_front_of_the_first_that_learns(host_batch):
    class NoGradient(Relu):
        def backward(self, dout):
            pytest.fail("nobody needs the gradient of the input")

    network = Network([NoGradient(), Affine(np.ones((4, 3)), np.zeros(3)), Relu()])
    assert list(network.gradient(*host_batch)) == ["W1", "b1"]


def test_network_without_layers_is_refused():
    with pytest.raises(KoubaiError, match="at least one layer"):
        Network([])


def test_one_hot_labels_and_class_indices_give_the_same(net, batch, device, dtype):
    x, t = batch
    rows = device.asarray(np.eye(3)[LABELS], dtype=dtype)
    by_index, by_row = net.gradient(x, t), net.gradient(x, rows)
    for key in by_index:
        np.testing.assert_array_equal(to_numpy(by_index[key]), to_numpy(by_row[key]))


def test_one_sample_instead_of_a_batch(net, batch, device):
    x, t = batch
    grads_of_row = net.gradient(x[:1, ...], t[:1])
    grads_of_vector = net.gradient(x[0, ...], t[0])
    for key, gradient in grads_of_row.items():
        np.testing.assert_allclose(to_numpy(grads_of_vector[key]), to_numpy(gradient), rtol=1e-5)
    if argmax_works(device):
        assert net.accuracy(x[0, ...], t[0]) == net.accuracy(x[:1, ...], t[:1])


# Parameters are live


def test_assigning_to_a_parameter_takes_effect(net, batch):
    x, t = batch
    before = float(net.loss(x, t))
    new = net.params["W2"] * 2.0
    net.params["W2"] = new
    assert net.layers["Affine2"].W is new
    assert float(net.loss(x, t)) != before


def test_augmented_assignment_trains_on_every_backend(net, batch):
    first = float(net.loss(*batch))
    for _ in range(20):
        grads = net.gradient(*batch)
        for key in net.params:
            net.params[key] -= 0.5 * grads[key]
    assert float(net.loss(*batch)) < first / 2


def test_gradient_is_a_snapshot_and_grads_are_live(host_net, host_batch):
    x, t = host_batch
    first = host_net.gradient(x, t)
    kept = first["W1"].copy()
    second = host_net.gradient(-x, t)
    np.testing.assert_array_equal(first["W1"], kept)
    assert host_net.grads["W1"] is second["W1"]


def test_parameter_of_another_shape_is_refused(host_net):
    with pytest.raises(ShapeError, match=r"W1.*\(4, 6\).*\(6, 4\)"):
        host_net.params["W1"] = np.zeros((6, 4))
    with pytest.raises(KeyError):
        host_net.params["W3"] = np.zeros((6, 4))


def test_shared_arrays_are_not_copied(host_net):
    W = host_net.params["W1"]
    assert Network([Affine(W, host_net.params["b1"])]).params["W1"] is W


# Moving, copying, converting


def test_moving_to_a_device_and_back_keeps_every_bit(device, host_batch):
    x = host_batch[0].astype(np.float32)
    net = TwoLayerNet(4, 6, 3, device="cpu", rng=0)
    before = {key: array.copy() for key, array in net.params.items()}
    assert net.to(device) is net
    assert net.device == device
    np.testing.assert_allclose(
        to_numpy(net.predict(device.asarray(x))),
        net.copy().to("cpu").predict(x),
        rtol=1e-5,
        atol=1e-7,
    )
    net.to("cpu")
    for key, array in before.items():
        np.testing.assert_array_equal(net.params[key], array)


def test_moving_leaves_no_gradient_of_the_old_device(net, batch, device):
    net.gradient(*batch)
    net.to("cpu" if device.backend.name != "numpy" else "numpy")
    with pytest.raises(AttributeError, match="dW"):
        _ = net.grads["W1"]


def test_move_that_fails_changes_nothing(host_net, monkeypatch):
    with pytest.raises(KoubaiError):
        host_net.to("nmupy")
    assert str(host_net.device) == "numpy"


def test_astype(host_net):
    assert host_net.astype("float32") is host_net
    assert host_net.dtype == "float32"
    assert {array.dtype.name for array in host_net.params.values()} == {"float32"}
    with pytest.raises(DTypeError):
        host_net.astype("float31")


def test_copy_is_independent(net, batch):
    twin = net.copy()
    grads = net.gradient(*batch)
    for key in net.params:
        net.params[key] -= grads[key]
    fresh = TwoLayerNet(4, 6, 3, 0.5, device=net.device, dtype=net.dtype, rng=0)
    for key in twin.params:
        np.testing.assert_array_equal(to_numpy(twin.params[key]), to_numpy(fresh.params[key]))
    assert type(twin) is TwoLayerNet


def test_inputs_are_left_as_they_were(host_net, host_batch):
    x, t = host_batch
    kept = x.copy(), t.copy()
    x.flags.writeable = t.flags.writeable = False
    host_net.gradient(x, t)
    host_net.accuracy(x, t)
    host_net.numerical_gradient(x, t)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(t, kept[1])


# Accuracy


def test_accuracy_counts_ragged_batches(net, batch, device):
    if not argmax_works(device):
        pytest.skip("array-api-strict 2.6.1 raises in argmax on this device")
    x, t = batch
    whole = np.mean(to_numpy(net.predict(x)).argmax(axis=1) == LABELS)
    assert net.accuracy(x, t) == pytest.approx(whole)
    assert net.accuracy(x, t, batch_size=2) == pytest.approx(whole)
    assert isinstance(net.accuracy(x, t), float)


def test_accuracy_takes_one_hot_labels(host_net, host_batch):
    x, t = host_batch
    assert host_net.accuracy(x, np.eye(3)[t]) == host_net.accuracy(x, t)


def test_accuracy_never_has_more_than_a_batch_on_its_way(host_net, monkeypatch):
    sizes = []
    predict = Network.predict
    monkeypatch.setattr(
        Network, "predict", lambda net, x: (sizes.append(len(x)), predict(net, x))[1]
    )
    host_net.accuracy(np.zeros((2500, 4)), np.zeros(2500, int))
    assert sizes == [1000, 1000, 500]


def test_accuracy_of_a_regression_is_refused():
    network = Network([Affine(np.ones((2, 1)), np.zeros(1))], IdentityWithLoss())
    with pytest.raises(KoubaiError, match="regression"):
        network.accuracy(np.ones((3, 2)), np.ones((3, 1)))


# Mistakes


@pytest.mark.parametrize("method", ["loss", "gradient", "accuracy", "numerical_gradient"])
@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        ([0, 3, 1, 1, 0], LabelError, r"SoftmaxWithLoss: t\[1\] is 3, but .* from 0 to 2"),
        ([0, 1, 1, -1, 0], LabelError, r"SoftmaxWithLoss: t\[3\] is -1"),
        (
            [0.0, np.nan, 1.0, 1.0, 0.0],
            DTypeError,
            "SoftmaxWithLoss: class indices must be integers",
        ),
        ([[0.0, 1.0, np.nan]] * 5, LabelError, r"SoftmaxWithLoss: t\[0\] is \[0.0, 1.0, nan\]"),
        ([[0.0, 0.0, 0.0]] * 5, LabelError, "must sum to 1"),
        ([[0.0, 1.0]] * 5, ShapeError, r"SoftmaxWithLoss: labels t of shape \(5, 2\)"),
    ],
    ids=["too-large", "negative", "nan-indices", "nan-rows", "zero-rows", "classes"],
)
def test_bad_labels_are_refused(host_net, host_batch, method, labels, error, words):
    with pytest.raises(error, match=words):
        getattr(host_net, method)(host_batch[0], np.asarray(labels))


def test_bad_labels_are_refused_on_every_device(net, batch, device):
    with pytest.raises(LabelError, match=r"t\[4\] is 7"):
        net.loss(batch[0], device.asarray([0, 1, 2, 0, 7]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_targets_that_are_not_finite_are_refused(bad):
    network = Network([Affine(np.ones((2, 1)), np.zeros(1))], IdentityWithLoss())
    with pytest.raises(LabelError, match=r"IdentityWithLoss: t\[1, 0\] is (nan|inf)"):
        network.loss(np.ones((2, 2)), np.asarray([[0.0], [bad]]))


@pytest.mark.parametrize("method", ["loss", "gradient", "accuracy"])
def test_labels_of_another_length_are_refused(host_net, host_batch, method):
    with pytest.raises(ShapeError, match=r"\(4,\)"):
        getattr(host_net, method)(host_batch[0], host_batch[1][:4])


@pytest.mark.parametrize("method", ["loss", "gradient", "accuracy"])
def test_empty_batch_is_refused(host_net, method):
    with pytest.raises(ShapeError, match=r"empty|at least one"):
        getattr(host_net, method)(np.zeros((0, 4)), np.zeros(0, int))


def test_prediction_of_an_empty_batch_is_empty(host_net):
    assert host_net.predict(np.zeros((0, 4))).shape == (0, 3)


def test_lists_are_refused(host_net, host_batch):
    with pytest.raises(NotAnArrayError, match="Affine: x is list"):
        host_net.predict([[1.0, 2.0, 3.0, 4.0]])
    with pytest.raises(NotAnArrayError, match="SoftmaxWithLoss: t is list"):
        host_net.loss(host_batch[0], LABELS)


def test_host_arrays_are_not_moved_silently(net, batch, device, dtype):
    if device.backend.name == "numpy":
        pytest.skip("NumPy is the host")
    with pytest.raises(MixedArraysError, match="Affine"):
        net.predict(np.zeros((5, 4), dtype))
    with pytest.raises(MixedArraysError, match="SoftmaxWithLoss"):
        net.loss(batch[0], np.asarray(LABELS))


# What a network says of itself


def test_repr_says_what_it_is(host_net):
    assert repr(host_net) == (
        "TwoLayerNet(Affine(4, 6), Relu(), Affine(6, 3), SoftmaxWithLoss()): "
        "51 parameters, float64 on numpy"
    )


def test_summary_shows_shapes_and_counts(net):
    lines = [line.split() for line in net.summary().splitlines()]
    assert lines[1] == ["Affine1", "(N,", "6)", "W", "(4,", "6)", "b", "(6,)", "30"]
    assert lines[2] == ["Relu1", "(N,", "6)", "0"]
    assert lines[-1][-1] == "51"


def test_summary_of_images_and_of_what_has_no_parameters():
    network = Network([Affine(np.zeros((12, 5)), np.zeros(5))])
    assert "(N, 5)" in network.summary(input_shape=(3, 2, 2))
    with pytest.raises(ShapeError, match="input_shape"):
        Network([Relu()]).summary()


def test_network_without_parameters():
    network = Network([Relu()])
    assert network.device is None
    assert network.dtype is None
    assert network.size == 0
    with pytest.raises(KoubaiError, match="no parameters"):
        network.astype("float32")


# TwoLayerNet


def test_initial_weights_have_the_books_distribution():
    net = TwoLayerNet(784, 50, 10, rng=0)
    assert net.dtype == "float32"
    assert net.params["W1"].shape == (784, 50)
    assert np.std(net.params["W1"]) == pytest.approx(0.01, rel=0.02)
    assert np.mean(net.params["W1"]) == pytest.approx(0, abs=2e-4)
    assert not net.params["b1"].any()
    assert np.std(TwoLayerNet(784, 50, 10, 0.5, rng=0).params["W1"]) == pytest.approx(0.5, rel=0.02)


def test_generator_is_the_callers():
    def weights(rng):
        return TwoLayerNet(4, 3, 2, rng=rng).params["W1"]

    np.testing.assert_array_equal(weights(3), weights(np.random.default_rng(3)))
    assert (weights(3) != weights(4)).all()
    assert (weights(None) != weights(None)).all()


def test_global_random_numbers_are_left_alone():
    np.random.seed(5)  # noqa: NPY002  (the global generator is what must not be touched)
    TwoLayerNet(4, 3, 2)
    touched = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    assert touched == np.random.random()  # noqa: NPY002


def test_default_device_is_where_a_network_is_made():
    with koubai.device("array_api_strict:device1"):
        net = TwoLayerNet(4, 3, 2)
    assert str(net.device) == "array_api_strict:device1"


# What review found


def test_layers_may_come_as_the_books_ordered_dict():
    network = Network(OrderedDict(Affine1=Affine(np.eye(2), np.zeros(2)), Relu1=Relu()))
    assert list(network.layers) == ["Affine1", "Relu1"]


@pytest.mark.parametrize(
    "link", [koubai.SoftmaxWithLoss(), koubai.MulLayer(), "Affine1", None], ids=repr
)
def test_what_is_no_link_of_a_chain_is_refused(link):
    with pytest.raises(KoubaiError, match="no link of a chain"):
        Network([Affine(np.eye(2), np.zeros(2)), link])


def test_layer_that_stands_twice_is_refused():
    affine = Affine(np.eye(2), np.zeros(2))
    with pytest.raises(KoubaiError, match="stands twice"):
        Network([affine, Relu(), affine])


def test_own_backward_of_a_subclass_is_what_gradient_uses(host_batch):
    class Decayed(Affine):
        def backward(self, dout):
            dx = super().backward(dout)
            self.dW = self.dW + 100 * self.W
            return dx

    network = Network([Decayed(np.ones((4, 3)), np.zeros(3))])
    assert network.gradient(*host_batch)["W1"].min() > 90


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ([0.0] * 6, NotAnArrayError, "list"),
        (np.zeros(6, np.float32), DTypeError, "float64.*float32"),
        (np.zeros(5), ShapeError, r"\(6,\)"),
    ],
    ids=["list", "dtype", "shape"],
)
def test_what_does_not_fit_a_parameter_is_refused(host_net, value, error, words):
    with pytest.raises(error, match=r'params\["b1"\].*' + words):
        host_net.params["b1"] = value


def test_parameter_of_another_library_is_refused(host_net, device):
    if device.backend.name == "numpy" or "float64" not in device.backend.dtypes(device.name):
        pytest.skip("no mixture, or no float64")
    with pytest.raises(MixedArraysError, match="b1"):
        host_net.params["b1"] = device.asarray(np.zeros(6))


@pytest.mark.parametrize("dtype", ["int32", "bool", None])
def test_dtype_that_cannot_be_learned_in_is_refused(host_net, dtype):
    with pytest.raises(DTypeError, match="floating-point"):
        host_net.astype(dtype)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_accuracy_refuses_an_empty_batch_size(host_net, host_batch, batch_size):
    with pytest.raises(KoubaiError, match=f"batch_size is {batch_size}"):
        host_net.accuracy(*host_batch, batch_size=batch_size)


def test_accuracy_refuses_lists(host_net, host_batch):
    with pytest.raises(NotAnArrayError, match="accuracy: x is list"):
        host_net.accuracy(host_batch[0].tolist(), host_batch[1])


def test_loss_layer_of_a_reader_ends_a_network(host_batch):
    class HalfSquare:
        def forward(self, x, t):
            self.error = x - t
            return 0.5 * (self.error**2).sum()

        def backward(self, dout=1):
            return self.error * dout

    network = Network([Affine(np.ones((4, 3)), np.zeros(3))], HalfSquare())
    assert network.gradient(host_batch[0], np.zeros((5, 3)))["W1"].shape == (4, 3)
    with pytest.raises(KoubaiError, match="regression"):
        network.accuracy(host_batch[0], np.zeros((5, 3)))


def test_summary_of_a_network_without_parameters():
    assert "(N, 3)" in Network([Relu()]).summary(input_shape=(3,))
