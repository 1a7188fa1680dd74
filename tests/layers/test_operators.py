"""Powers, quotients, extremes and casts at their edges, and what they refuse."""

import numpy as np
import pytest

import koubai
from koubai import (
    Abs,
    Cast,
    DivLayer,
    Exp,
    Log,
    Maximum,
    Minimum,
    NegLayer,
    PowLayer,
    SubLayer,
    Where,
    to_numpy,
)
from koubai.errors import DTypeError, MixedArraysError, NotAnArrayError, ShapeError

ELEMENTWISE = [SubLayer, DivLayer, PowLayer, Maximum, Minimum]
UNARY = [Exp, Log, Abs]


@pytest.fixture
def array(device, dtype):
    if device.backend.name == "jax" and (str(device), dtype) != ("jax:cpu:1", "float32"):
        pytest.skip("one cell of JAX is enough, as it compiles each operation anew")
    return lambda values: device.asarray(np.asarray(values), dtype=dtype)


def same(found, wanted):
    np.testing.assert_allclose(to_numpy(found), wanted, 1e-6, 1e-7)


# Powers


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 2.0, -1], ids=repr)
def test_negative_base_has_its_whole_powers(array, exponent):
    layer, x = PowLayer(), np.asarray([-2.0, 3.0, -0.5])
    same(layer.forward(array(x), exponent), x ** float(exponent))
    same(layer.backward(array(np.ones(3)))[0], exponent * x ** (exponent - 1.0))


def test_base_zero(array):
    layer = PowLayer()
    same(layer.forward(array([0.0, 0.0, 0.0]), array([0.0, 1.0, 2.0])), [1, 0, 0])
    dx, dy = layer.backward(array(np.ones(3)))
    same(dx, [0, 1, 0])
    same(dy, [0, 0, 0])


def test_negative_base_has_no_derivative_by_the_exponent(array):
    layer = PowLayer()
    layer.forward(array([-2.0, 2.0]), array([2.0, 2.0]))
    dy = to_numpy(layer.backward(array([1.0, 1.0]))[1])
    assert np.isnan(dy[0])
    assert dy[1] == pytest.approx(4 * np.log(2), rel=1e-6)


def test_number_may_be_the_base(array):
    layer = PowLayer()
    same(layer.forward(2, array([1.0, 3.0])), [2, 8])
    dx, dy = layer.backward(array([1.0, 1.0]))
    assert float(dx) == pytest.approx(1 + 3 * 4)
    same(dy, np.log(2) * np.asarray([2, 8]))


def test_powers_keep_dtype_and_shape(array, dtype):
    layer = PowLayer()
    y = layer.forward(array(np.ones((2, 3))), array(np.ones((2, 1))))
    dx, dy = layer.backward(y)
    assert {str(to_numpy(a).dtype) for a in (y, dx, dy)} == {dtype}
    assert (tuple(dx.shape), tuple(dy.shape)) == ((2, 3), (2, 1))


# Quotients and signs


def test_quotient_of_numbers_is_pythons():
    layer = DivLayer()
    assert (layer.forward(1, 4), layer.backward(1)) == (0.25, (0.25, -0.0625))


def test_quotient_far_from_one_does_not_overflow_backwards(array, dtype):
    big = {"float32": 1e25, "float64": 1e200}[dtype]
    layer = DivLayer()
    layer.forward(array(big), array(big))
    _, dy = layer.backward(array(1.0))
    assert float(dy) * big == pytest.approx(-1.0, rel=1e-5)


def test_sign_of_a_gradient_of_another_shape_is_refused():
    layer = NegLayer()
    layer.forward(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"NegLayer: dout.*\(2, 3\)"):
        layer.backward(np.ones(3))


# One of two


@pytest.mark.parametrize("kind", [Maximum, Minimum])
def test_equal_values_share_the_gradient(array, kind):
    layer = kind()
    layer.forward(array([1.0, 2.0]), array([1.0, 5.0]))
    dx, dy = map(to_numpy, layer.backward(array([4.0, 4.0])))
    assert (dx[0], dy[0]) == (2, 2)
    assert sorted([dx[1], dy[1]]) == [0, 4]


@pytest.mark.parametrize(("kind", "wanted"), [(Maximum, [0, 3]), (Minimum, [3, 0])])
def test_number_on_either_side_is_one_of_the_two(array, kind, wanted):
    layer = kind()
    layer.forward(array([1.0, 3.0]), 2)
    same(layer.backward(array([3.0, 3.0]))[0], wanted)
    layer.forward(2, array([1.0, 3.0]))
    same(layer.backward(array([3.0, 3.0]))[1], wanted)


def test_choice_by_a_condition_sums_what_was_broadcast(array, device):
    layer, condition = Where(), device.asarray([[True], [False]])
    same(layer.forward(condition, array([1.0, 2.0]), 9.0), [[1, 2], [9, 9]])
    _, dx, dy = layer.backward(array([[1.0, 2.0], [3.0, 4.0]]))
    same(dx, [1, 2])
    assert float(dy if isinstance(dy, float) else to_numpy(dy)) == 7.0


def test_condition_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match=r"Where: the condition .*\(2,\).*\(3,\)"):
        Where().forward(np.asarray([True, False]), np.ones(3), 0.0)


# Element by element


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1,), (2, 3, 1)], ids=str)
@pytest.mark.parametrize("kind", UNARY)
def test_any_shape_is_taken_and_kept(array, kind, shape):
    layer, x = kind(), array(np.full(shape, 1.5))
    y = layer.forward(x)
    assert tuple(y.shape) == tuple(layer.backward(x).shape) == shape


def test_absolute_value_of_zero_has_no_slope(array):
    layer = Abs()
    same(layer.forward(array([-2.0, 0.0, 3.0])), [2, 0, 3])
    same(layer.backward(array([5.0, 5.0, 5.0])), [-5, 0, 5])


@pytest.mark.parametrize("kind", UNARY)
def test_gradient_of_another_shape_is_refused(kind):
    layer = kind()
    layer.forward(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=rf"{kind.__name__}: dout.*\(2, 3\)"):
        layer.backward(np.ones(3))


@pytest.mark.parametrize("kind", UNARY)
def test_integers_are_refused(device, kind):
    with pytest.raises(DTypeError, match=rf"{kind.__name__}: x is int.*floating point"):
        kind().forward(device.asarray([1, 2]))


@pytest.mark.parametrize("kind", UNARY)
def test_list_is_refused(kind):
    with pytest.raises(NotAnArrayError, match=rf"{kind.__name__}: x is list"):
        kind().forward([1.0])


def test_cast_goes_there_and_back(array, device, dtype):
    other = {"float32": "float64", "float64": "float32"}[dtype]
    if other not in device.backend.dtypes(device.name):
        pytest.skip(f"{device} has no {other} here")
    layer = Cast(getattr(device.xp, other))
    y = layer.forward(array([0.1, 2.0]))
    assert str(to_numpy(y).dtype) == other
    assert str(to_numpy(layer.backward(y)).dtype) == dtype


def test_cast_to_integers_has_no_way_back(array, device):
    with pytest.raises(DTypeError, match=r"Cast: .*int32.*no floating-point"):
        Cast(device.xp.int32).forward(array([1.0]))


# What does not go together


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_shapes_that_do_not_broadcast_are_refused(kind):
    with pytest.raises(ShapeError, match=rf"{kind.__name__}: x .*\(2, 3\).*y \(2,\)"):
        kind().forward(np.ones((2, 3)), np.ones(2))


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_gradient_must_have_the_shape_of_the_output(kind):
    layer = kind()
    layer.forward(np.ones((2, 3)), np.ones(3))
    with pytest.raises(ShapeError, match=rf"{kind.__name__}: dout .*\(2, 3\)"):
        layer.backward(np.ones(3))


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_arrays_of_two_libraries_are_refused(array, device, kind):
    if device.backend.name == "numpy":
        pytest.skip("NumPy is the other library")
    with pytest.raises(MixedArraysError, match=kind.__name__):
        kind().forward(array([1.0]), np.ones(1))


@pytest.mark.parametrize("kind", [PowLayer, Maximum, Minimum])
def test_two_numbers_are_refused_where_an_array_is_needed(kind):
    with pytest.raises(koubai.NotAnArrayError, match=kind.__name__):
        kind().forward(2.0, 3.0)
