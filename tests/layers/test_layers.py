"""Every layer: the book's numbers on every device, and what a layer must never do."""

import numpy as np
import pytest

from koubai import (
    AddLayer,
    Affine,
    IdentityWithLoss,
    MulLayer,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    Tanh,
    to_numpy,
)
from koubai.errors import (
    DTypeError,
    MixedArraysError,
    NotAnArrayError,
    NotForwardedError,
    ShapeError,
)
from koubai.gradcheck.cases import CASES

X = [[1.0, -0.5], [-2.0, 3.0]]
ONES = [[1.0, 1.0], [1.0, 1.0]]


@pytest.fixture
def array(device, dtype):
    return lambda values: device.asarray(values, dtype=dtype)


def test_two_apples():
    mul_apple, mul_tax = MulLayer(), MulLayer()
    assert mul_tax.forward(mul_apple.forward(100, 2), 1.1) == 220.00000000000003
    dapple_price, dtax = mul_tax.backward(1)
    assert (*mul_apple.backward(dapple_price), dtax) == (2.2, 110.00000000000001, 200)


def test_two_apples_on_a_device(device, dtype):
    if dtype != "float64":
        pytest.skip("the book's digits are those of float64")
    apple, number, tax, one = (device.asarray(value, dtype=dtype) for value in (100, 2, 1.1, 1))
    mul_apple, mul_tax = MulLayer(), MulLayer()
    assert float(mul_tax.forward(mul_apple.forward(apple, number), tax)) == 220.00000000000003
    dapple_price, dtax = mul_tax.backward(one)
    dapple, dnumber = mul_apple.backward(dapple_price)
    assert (float(dapple), float(dnumber), float(dtax)) == (2.2, 110.00000000000001, 200.0)


def test_two_apples_and_three_oranges():
    mul_apple, mul_orange, add, mul_tax = MulLayer(), MulLayer(), AddLayer(), MulLayer()
    price = mul_tax.forward(add.forward(mul_apple.forward(100, 2), mul_orange.forward(150, 3)), 1.1)
    dall, dtax = mul_tax.backward(1)
    dapple_price, dorange_price = add.backward(dall)
    assert price == 715.0000000000001
    assert mul_apple.backward(dapple_price) == (2.2, 110.00000000000001)
    assert mul_orange.backward(dorange_price) == (3.3000000000000003, 165.0)
    assert dtax == 650


def test_relu(array):
    relu = Relu()
    np.testing.assert_array_equal(to_numpy(relu.forward(array(X))), [[1, 0], [0, 3]])
    np.testing.assert_array_equal(to_numpy(relu.backward(array(ONES))), [[1, 0], [0, 1]])


def test_relu_lets_nan_be_seen(array):
    assert np.isnan(to_numpy(Relu().forward(array([np.nan])))).all()


def test_sigmoid(array):
    layer = Sigmoid()
    y, dx = layer.forward(array(X)), layer.backward(array(ONES))
    np.testing.assert_allclose(
        to_numpy(y), [[0.73105858, 0.37754067], [0.11920292, 0.95257413]], 2e-6
    )
    np.testing.assert_allclose(
        to_numpy(dx), [[0.19661193, 0.23500371], [0.10499359, 0.04517666]], 2e-6
    )


def test_affine(array):
    affine = Affine(array(np.ones((2, 3))), array([1.0, 2.0, 3.0]))
    y = affine.forward(array([[0.0, 0.0], [5.0, 5.0]]))
    dx = affine.backward(array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    np.testing.assert_array_equal(to_numpy(y), [[1, 2, 3], [11, 12, 13]])
    np.testing.assert_array_equal(to_numpy(dx), [[6, 6], [15, 15]])
    np.testing.assert_array_equal(to_numpy(affine.dW), [[20, 25, 30], [20, 25, 30]])
    np.testing.assert_array_equal(to_numpy(affine.db), [5, 7, 9])


def test_affine_flattens_images_and_gives_their_shape_back(array):
    images = np.arange(24.0).reshape(2, 3, 2, 2)
    flat, whole = (Affine(array(np.eye(12)[:, :5]), array(np.zeros(5))) for _ in range(2))
    y = whole.forward(array(images))
    np.testing.assert_array_equal(to_numpy(y), to_numpy(flat.forward(array(images.reshape(2, 12)))))
    assert whole.x.shape == (2, 12)
    assert whole.backward(y).shape == (2, 3, 2, 2)


def test_affine_uses_the_very_arrays_it_is_given(array):
    W, b = array(np.ones((2, 3))), array(np.ones(3))
    affine = Affine(W, b)
    assert affine.W is W
    assert affine.b is b


@pytest.mark.parametrize(
    "labels", [[2, 0], [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]], ids=["indices", "rows"]
)
def test_softmax_with_loss(array, device, labels):
    layer = SoftmaxWithLoss()
    y = [[0.1, 0.2, 0.7], [0.25, 0.5, 0.25]]
    loss = layer.forward(array(np.log(y)), device.asarray(labels))
    assert loss.shape == ()
    assert float(loss) == pytest.approx(-(np.log(0.7) + np.log(0.25)) / 2, rel=1e-5)
    np.testing.assert_allclose(to_numpy(layer.y), y, rtol=1e-5)
    expected = np.asarray([[0.1, 0.2, -0.3], [-0.75, 0.5, 0.25]]) / 2
    np.testing.assert_allclose(to_numpy(layer.backward()), expected, atol=1e-6)
    np.testing.assert_allclose(to_numpy(layer.backward(5)), 5 * expected, atol=5e-6)


@pytest.mark.parametrize("label", [1, [0.0, 1.0, 0.0]], ids=["index", "row"])
def test_softmax_with_loss_of_one_sample(array, device, label):
    layer = SoftmaxWithLoss()
    loss = layer.forward(array(np.log([0.3, 0.2, 0.5])), device.asarray(label))
    assert float(loss) == pytest.approx(-np.log(0.2), rel=1e-5)
    np.testing.assert_allclose(to_numpy(layer.backward()), [0.3, -0.8, 0.5], atol=1e-6)


@pytest.mark.parametrize("label", [-1, 3, 100])
def test_bad_label_gives_nan_and_never_a_plausible_number(array, device, label):
    layer = SoftmaxWithLoss()
    assert np.isnan(
        float(layer.forward(array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), device.asarray([0, label])))
    )
    assert np.isnan(to_numpy(layer.backward())[1]).all()


def test_one_class_with_integer_labels(array, device):
    layer = SoftmaxWithLoss()
    assert float(layer.forward(array([[3.0], [4.0]]), device.asarray([0, 0]))) == 0.0
    np.testing.assert_array_equal(to_numpy(layer.backward()), [[0], [0]])


def test_identity_with_loss(array):
    layer = IdentityWithLoss()
    assert float(layer.forward(array([[3.0], [1.0]]), array([[1.0], [1.0]]))) == 1.0
    np.testing.assert_array_equal(to_numpy(layer.backward()), [[1], [0]])
    assert float(layer.forward(array([3.0, 1.0]), array([1.0, 1.0]))) == 2.0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_dtype_and_device_are_kept(case, device, dtype):
    target, inputs = case.make(device, dtype)
    y = getattr(target, "loss" if hasattr(target, "layers") else "forward")(*inputs)
    dx = target.backward(y)
    given = (y, *(dx if isinstance(dx, tuple) else (dx,)))
    arrays = [a for a in given if a is not None and not isinstance(a, float)]
    assert {device.backend.device_of(a) for a in arrays} <= {device.name}
    assert {str(to_numpy(a).dtype) for a in arrays} <= {dtype}


# Mistakes, seen at the door


def affine(device, d=3, m=2):
    zeros = lambda *shape: device.asarray(np.zeros(shape), dtype="float32")  # noqa: E731
    return Affine(zeros(d, m), zeros(m))


@pytest.mark.parametrize("shape", [(), (2,), (4,), (5, 2), (5, 1, 2), (3, 5)], ids=str)
def test_affine_refuses_what_does_not_fit_its_weights(device, shape):
    with pytest.raises(ShapeError, match=r"^Affine: x .*\(3, 2\).*3 elements"):
        affine(device).forward(device.asarray(np.zeros(shape), dtype="float32"))


@pytest.mark.parametrize(
    ("w", "b"), [((3,), (3,)), ((3, 2), (3,)), ((3, 2), (1, 2)), ((2, 2, 2), (2,))]
)
def test_affine_refuses_parameters_that_do_not_fit(w, b):
    with pytest.raises(ShapeError, match="Affine: W"):
        Affine(np.zeros(w), np.zeros(b))


@pytest.mark.parametrize("layer", [Relu(), Sigmoid(), Tanh()], ids=repr)
@pytest.mark.parametrize("shape", [(), (3,), (1, 3), (2, 1), (2, 3, 1)], ids=str)
def test_gradient_of_another_shape_is_refused(layer, shape):
    layer.forward(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=rf"{type(layer).__name__}: dout.*\(2, 3\)"):
        layer.backward(np.ones(shape))


@pytest.mark.parametrize(
    "layer",
    [Relu(), Sigmoid(), Tanh(), SoftmaxWithLoss(), IdentityWithLoss(), MulLayer(), AddLayer()],
    ids=repr,
)
def test_backward_before_forward_is_explained(layer):
    with pytest.raises(NotForwardedError, match=f"{type(layer).__name__} has no .*after forward"):
        type(layer)().backward(np.ones(2))


def test_gradient_before_backward_is_explained():
    layer = Affine(np.ones((2, 2)), np.ones(2))
    layer.forward(np.ones((1, 2)))
    with pytest.raises(NotForwardedError, match=r"Affine has no 'dW'.*after backward"):
        _ = layer.dW


@pytest.mark.parametrize(
    "build",
    [lambda: Affine(np.zeros((2, 2)), np.zeros(2)), Sigmoid, Tanh],
    ids=["Affine", "Sigmoid", "Tanh"],
)
def test_integers_are_refused_where_they_have_no_derivative(build):
    layer = build()
    with pytest.raises(DTypeError, match=f"{type(layer).__name__}: x is uint8.*asarray"):
        layer.forward(np.ones((2, 2), np.uint8))


@pytest.mark.parametrize(
    "layer", [Relu(), Sigmoid(), Affine(np.ones((2, 2)), np.ones(2))], ids=repr
)
@pytest.mark.parametrize("thing", [[[1.0, 2.0]], None, "x", 3.0], ids=repr)
def test_what_is_no_array_is_refused(layer, thing):
    if isinstance(layer, Affine) and thing == 3.0:
        pytest.skip("a number among arrays is a shape that does not fit, tested there")
    with pytest.raises(NotAnArrayError, match=f"{type(layer).__name__}: x is .*koubai.asarray"):
        layer.forward(thing)


@pytest.mark.parametrize("layer", [SoftmaxWithLoss(), IdentityWithLoss()], ids=repr)
def test_empty_batch_is_refused(layer):
    empty = np.zeros((0, 3))
    with pytest.raises(ShapeError, match=f"{type(layer).__name__}: the batch is empty"):
        layer.forward(empty, empty)


def test_arrays_of_two_places_are_refused_with_both_named(device):
    if device.backend.name == "numpy":
        pytest.skip("NumPy with NumPy is no mixture")
    host = np.zeros((4, 3), np.float32)
    with pytest.raises(MixedArraysError) as forward:
        affine(device).forward(host)
    assert "Affine" in str(forward.value)
    assert "numpy.ndarray" in str(forward.value)
    assert f'device="{device}"' in str(forward.value)
    relu = Relu()
    relu.forward(device.asarray(host))
    with pytest.raises(MixedArraysError, match="Relu"):
        relu.backward(host)
    with pytest.raises(MixedArraysError, match="MulLayer"):
        MulLayer().forward(device.asarray(host), host)
    with pytest.raises(MixedArraysError, match="AddLayer"):
        AddLayer().forward(host, device.asarray(host))
    with pytest.raises(MixedArraysError, match="SoftmaxWithLoss"):
        SoftmaxWithLoss().forward(device.asarray(host), np.zeros(4, np.int32))


def test_arrays_of_two_devices_of_one_library_are_refused():
    strict = pytest.importorskip("array_api_strict", reason="two devices on any laptop")
    one, two = (strict.ones((2, 2), device=strict.Device(name)) for name in ("device1", "device2"))
    with pytest.raises(MixedArraysError, match=r"(?s)device1.*device2"):
        MulLayer().forward(one, two)


def test_numpy_scalar_is_an_array_without_dimensions():
    mul = MulLayer()
    assert mul.forward(np.float64(3), np.asarray([1.0, 2.0])).tolist() == [3.0, 6.0]
    dx, dy = mul.backward(np.asarray([1.0, 1.0]))
    assert float(dx) == 3.0
    assert dy.tolist() == [3.0, 3.0]


def test_list_beside_an_array_is_refused_by_the_nodes():
    with pytest.raises(NotAnArrayError, match="MulLayer: x is list"):
        MulLayer().forward([1], np.ones(2))


@pytest.mark.parametrize("layer", [SoftmaxWithLoss, IdentityWithLoss])
def test_gradient_behind_a_loss_may_be_an_array_of_the_device(array, device, layer):
    by_number, by_array = layer(), layer()
    x, t = array([[0.5, 0.25]]), array([[0.0, 1.0]])
    by_number.forward(x, t)
    by_array.forward(x, t)
    expected, found = by_number.backward(3), by_array.backward(array(3.0))
    np.testing.assert_allclose(to_numpy(found), to_numpy(expected), rtol=1e-6)
    assert device.backend.device_of(found) == device.name


ELEMENTWISE = [MulLayer, AddLayer]


@pytest.mark.parametrize("layer", ELEMENTWISE)
def test_shapes_that_do_not_broadcast_are_refused(device, layer):
    x, y = (device.asarray(np.ones(n), dtype="float32") for n in (3, 4))
    with pytest.raises(ShapeError, match=rf"{layer.__name__}: x .*\(3,\) and y \(4,\)"):
        layer().forward(x, y)


@pytest.mark.parametrize("layer", ELEMENTWISE)
def test_gradient_of_another_shape_is_refused_by_the_nodes_too(layer):
    node = layer()
    node.forward(np.ones((2, 3)), 2.0)
    with pytest.raises(ShapeError, match=r"dout .*\(2, 3\)"):
        node.backward(1.0)


@pytest.mark.parametrize("layer", ELEMENTWISE)
def test_gradient_from_another_library_is_refused_by_the_nodes(device, layer):
    if device.backend.name == "numpy":
        pytest.skip("NumPy with NumPy is no mixture")
    node = layer()
    node.forward(device.asarray([1.0]), device.asarray([2.0]))
    with pytest.raises(MixedArraysError, match=layer.__name__):
        node.backward(np.ones(1, np.float32))


def test_gradients_of_a_sum_are_arrays_of_their_own():
    add, dout = AddLayer(), np.ones(3)
    add.forward(np.ones(3), np.ones(3))
    dx, dy = add.backward(dout)
    dx += 1
    np.testing.assert_array_equal(dout, 1)
    np.testing.assert_array_equal(dy, 1)


@pytest.mark.parametrize("dout", [np.float64(2), np.ones(()) * 2, 2, 2.0], ids=repr)
@pytest.mark.parametrize("layer", [SoftmaxWithLoss(), IdentityWithLoss()], ids=repr)
def test_gradient_of_a_loss_keeps_float32(layer, dout):
    x = np.ones((2, 3), np.float32)
    layer.forward(x, np.full((2, 3), 1 / 3, np.float32))
    assert layer.backward(dout).dtype == np.float32


def test_score_of_minus_infinity_costs_nothing_where_it_is_not_the_label(array, device):
    layer = SoftmaxWithLoss()
    x, t = array([[0.0, -np.inf, 0.0]]), device.asarray([2])
    assert float(layer.forward(x, t)) == pytest.approx(np.log(2))
    np.testing.assert_allclose(to_numpy(layer.backward()), [[0.5, 0, -0.5]], atol=1e-7)


@pytest.mark.parametrize(
    "row", [[0.0, 0.0, 0.0], [0.0, 3.0, 0.0], [2.0, -1.0, 0.0], [np.nan, 0.0, 1.0]]
)
def test_row_that_is_no_distribution_gives_nan(array, row):
    layer = SoftmaxWithLoss()
    assert np.isnan(float(layer.forward(array([[1.0, 2.0, 3.0]]), array([row]))))


def test_rows_of_probabilities_are_labels(array):
    layer = SoftmaxWithLoss()
    loss = layer.forward(array([[0.0, 0.0]]), array([[0.25, 0.75]]))
    assert float(loss) == pytest.approx(np.log(2))
    np.testing.assert_allclose(to_numpy(layer.backward()), [[0.25, -0.25]], atol=1e-7)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int8", "int16", "int32"])
def test_labels_of_any_integer_dtype(device, dtype):
    x = device.asarray([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    loss = SoftmaxWithLoss().forward(x, device.asarray(np.asarray([2, 2], dtype)))
    assert float(loss) == pytest.approx((0.407606 + 2.407606) / 2, rel=1e-5)


@pytest.mark.parametrize("shape", [(), (3, 0), (0,)], ids=str)
def test_loss_of_nothing_is_refused(shape):
    with pytest.raises(ShapeError, match="SoftmaxWithLoss"):
        SoftmaxWithLoss().forward(np.zeros(shape), np.zeros(shape))


def test_integers_into_relu_and_for_a_bias_are_refused():
    with pytest.raises(DTypeError, match="Relu: x is int64"):
        Relu().forward(np.asarray([1, -2]))
    with pytest.raises(DTypeError, match="Affine: b is int64"):
        Affine(np.ones((2, 2)), np.zeros(2, np.int64))
