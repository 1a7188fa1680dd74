"""Reductions, shapes and the matrix product: every axis, every rank, and what they refuse."""

import numpy as np
import pytest

from koubai import MatMul, Max, Mean, Min, Reshape, Sum, Transpose, check_gradients, to_numpy
from koubai.errors import DTypeError, MixedArraysError, ShapeError

REDUCTIONS = {"sum": Sum, "mean": Mean, "max": Max, "min": Min}
AXES = [None, 0, 1, -1, (0,), (0, 2), (-1, 0), (0, 1, 2), (2, -3, 1), ()]
VALUES = np.random.default_rng(0).standard_normal((2, 3, 4))


@pytest.fixture
def array(device, dtype):
    if device.backend.name == "jax" and (str(device), dtype) != ("jax:cpu:1", "float32"):
        pytest.skip("one cell of JAX is enough, as it compiles each operation anew")
    return lambda values: device.asarray(np.asarray(values), dtype=dtype)


@pytest.fixture(params=REDUCTIONS)
def reduction(request):
    return getattr(np, request.param), REDUCTIONS[request.param]


# Reductions


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
def test_every_axis_is_reduced_as_numpy_does(reduction, axis, keepdims):
    function, kind = reduction
    layer = kind(axis, keepdims=keepdims)
    y = layer.forward(VALUES)
    wanted = function(VALUES, axis=axis, keepdims=keepdims)
    np.testing.assert_allclose(y, wanted)
    assert np.shape(y) == np.shape(wanted)
    check_gradients(layer, VALUES).raise_if_failed()


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, -1, (0, 2)], ids=str)
def test_axes_are_reduced_on_every_device(array, dtype, reduction, axis, keepdims):
    function, kind = reduction
    layer = kind(axis, keepdims=keepdims)
    y = layer.forward(array(VALUES))
    wanted = function(VALUES, axis=axis, keepdims=keepdims)
    np.testing.assert_allclose(to_numpy(y), wanted, 1e-5, 1e-6)
    dx = layer.backward(y)
    assert tuple(dx.shape) == VALUES.shape
    assert str(to_numpy(dx).dtype) == dtype


def test_single_number_is_its_own_reduction(array, reduction):
    _, kind = reduction
    layer = kind()
    assert float(layer.forward(array(2.5))) == 2.5
    dx = layer.backward(array(3.0))
    assert (tuple(dx.shape), float(dx)) == ((), 3.0)


@pytest.mark.parametrize(
    ("kind", "row", "wanted"),
    [
        (Max, [2.0, 2.0, 2.0], [1, 1, 1]),
        (Max, [5.0, 1.0, 5.0], [1.5, 0, 1.5]),
        (Min, [1.0, 1.0, 5.0], [1.5, 1.5, 0]),
        (Min, [-1.0, 1.0, 5.0], [3, 0, 0]),
    ],
)
def test_ties_share_the_gradient_equally(array, kind, row, wanted):
    layer = kind(axis=1)
    layer.forward(array([row, [1.0, 2.0, 3.0]]))
    np.testing.assert_allclose(to_numpy(layer.backward(array([3.0, 3.0])))[0], wanted, 1e-6)


def test_sum_of_nothing_is_zero(array):
    layer = Sum(axis=0)
    y = layer.forward(array(np.zeros((0, 3))))
    np.testing.assert_array_equal(to_numpy(y), [0, 0, 0])
    assert tuple(layer.backward(y).shape) == (0, 3)


@pytest.mark.parametrize("kind", [Mean, Max, Min])
def test_nothing_has_no_mean_and_no_extreme(array, kind):
    with pytest.raises(ShapeError, match=rf"{kind.__name__}: x has the shape \(0, 3\)"):
        kind(axis=0).forward(array(np.zeros((0, 3))))


@pytest.mark.parametrize("kind", [Mean, Max, Min])
def test_axis_beside_an_empty_one_can_be_reduced(array, kind):
    layer = kind(axis=1)
    y = layer.forward(array(np.zeros((0, 3))))
    assert (tuple(y.shape), tuple(layer.backward(y).shape)) == ((0,), (0, 3))


@pytest.mark.parametrize("axis", [2, -3, (0, 2), (0, 0), (1, -1)], ids=str)
def test_axis_that_is_not_there_or_there_twice_is_refused(array, reduction, axis):
    _, kind = reduction
    with pytest.raises(ShapeError, match=rf"{kind.__name__}: x .*\(2, 3\).*from -2 to 1"):
        kind(axis).forward(array(np.ones((2, 3))))


def test_reduction_refuses_integers_and_gradients_of_another_shape(device, reduction):
    _, kind = reduction
    with pytest.raises(DTypeError, match=rf"{kind.__name__}: x is int"):
        kind().forward(device.asarray([1, 2]))
    layer = kind(axis=0)
    layer.forward(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=rf"{kind.__name__}: dout .*\(3,\)"):
        layer.backward(np.ones((1, 3)))


# Shapes


@pytest.mark.parametrize("shape", [(24,), (-1,), (4, -1, 2), (2, 3, 4), (1, 24, 1)], ids=str)
def test_shape_is_changed_and_changed_back(array, shape):
    layer = Reshape(shape)
    y = layer.forward(array(VALUES))
    np.testing.assert_allclose(to_numpy(y), VALUES.reshape(shape), 1e-6)
    np.testing.assert_allclose(to_numpy(layer.backward(y)), VALUES, 1e-6)


def test_number_and_nothing_can_be_reshaped(array):
    assert tuple(Reshape((1, 1)).forward(array(2.0)).shape) == (1, 1)
    assert tuple(Reshape(()).forward(array([[2.0]])).shape) == ()
    assert tuple(Reshape((3, 0)).forward(array(np.zeros((0, 2)))).shape) == (3, 0)


@pytest.mark.parametrize("shape", [(5, 5), (-1, 5), (-1, -1), (-2, -12), (0, -1), ()], ids=str)
def test_shape_that_does_not_hold_the_elements_is_refused(array, shape):
    with pytest.raises(ShapeError, match=r"Reshape: x .*\(2, 3, 4\).*24 elements"):
        Reshape(shape).forward(array(VALUES))


@pytest.mark.parametrize("axes", [None, (0, 1, 2), (2, 0, 1), (1, 0, -1), (-1, -2, -3)], ids=str)
def test_order_of_axes_is_changed_and_changed_back(array, axes):
    layer = Transpose(axes)
    y = layer.forward(array(VALUES))
    np.testing.assert_allclose(to_numpy(y), np.transpose(VALUES, axes), 1e-6)
    np.testing.assert_allclose(to_numpy(layer.backward(y)), VALUES, 1e-6)


@pytest.mark.parametrize("axes", [(0, 1), (0, 1, 3), (0, 0, 1), (0, 1, -1, 2), (-4, 1, 2)], ids=str)
def test_axes_that_are_not_those_of_the_input_are_refused(array, axes):
    with pytest.raises(ShapeError, match=r"Transpose: x .*\(2, 3, 4\).*from 0 to 2"):
        Transpose(axes).forward(array(VALUES))


def test_number_is_its_own_transpose(array):
    assert float(Transpose().forward(array(2.0))) == 2.0


@pytest.mark.parametrize("layer", [Reshape((6,)), Transpose((1, 0))], ids=repr)
def test_gradient_of_another_shape_is_refused(layer):
    layer.forward(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=rf"{type(layer).__name__}: dout"):
        layer.backward(np.ones((2, 3)))


# The matrix product

FACTORS = [
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((4, 3), (3,)),
    ((4, 3), (3, 2)),
    ((5, 4, 3), (3, 2)),
    ((5, 4, 3), (3,)),
    ((3,), (5, 3, 2)),
    ((4, 3), (5, 3, 2)),
    ((5, 1, 4, 3), (6, 3, 2)),
    ((1, 3), (3, 1)),
]


@pytest.mark.parametrize(("left", "right"), FACTORS, ids=str)
def test_product_of_every_rank_is_numpys_and_has_its_gradients(left, right):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(left), rng.standard_normal(right)
    layer = MatMul()
    np.testing.assert_allclose(layer.forward(x, y), np.matmul(x, y))
    dx, dy = layer.backward(np.ones(np.matmul(x, y).shape))
    assert (dx.shape, dy.shape) == (left, right)
    check_gradients(layer, x, y).raise_if_failed()


@pytest.mark.parametrize(("left", "right"), [FACTORS[0], FACTORS[5], FACTORS[8]], ids=str)
def test_product_is_the_same_on_every_device(array, left, right):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(left), rng.standard_normal(right)
    layer, host = MatMul(), MatMul()
    wanted = host.forward(x, y)
    found = layer.forward(array(x), array(y))
    np.testing.assert_allclose(to_numpy(found), wanted, 1e-4, 1e-5)
    for mine, other in zip(layer.backward(found), host.backward(wanted), strict=True):
        np.testing.assert_allclose(to_numpy(mine), other, 1e-4, 1e-4)


def test_product_over_nothing_is_zero(array):
    layer = MatMul()
    y = layer.forward(array(np.zeros((2, 0))), array(np.zeros((0, 3))))
    np.testing.assert_array_equal(to_numpy(y), np.zeros((2, 3)))
    assert [tuple(d.shape) for d in layer.backward(y)] == [(2, 0), (0, 3)]


@pytest.mark.parametrize(
    ("left", "right"),
    [((), (3,)), ((3,), ()), ((3,), (2,)), ((4, 3), (2, 3)), ((2, 4, 3), (3, 3, 2))],
    ids=str,
)
def test_factors_that_do_not_go_together_are_refused(array, left, right):
    with pytest.raises(ShapeError, match="MatMul: x has the shape"):
        MatMul().forward(array(np.ones(left)), array(np.ones(right)))


def test_product_refuses_integers_and_other_libraries(array, device):
    with pytest.raises(DTypeError, match="MatMul: y is int"):
        MatMul().forward(array([[1.0]]), device.asarray([[1]]))
    if device.backend.name != "numpy":
        with pytest.raises(MixedArraysError, match="MatMul"):
            MatMul().forward(array([[1.0]]), np.ones((1, 1)))


def test_gradient_of_a_product_must_have_its_shape():
    layer = MatMul()
    layer.forward(np.ones((4, 3)), np.ones((3, 2)))
    with pytest.raises(ShapeError, match=r"MatMul: dout .*\(4, 2\)"):
        layer.backward(np.ones((2, 4)))
