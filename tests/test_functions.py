"""The book's functions: its numbers, on every device, and the corners where its code breaks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from koubai import functions, to_numpy
from koubai.errors import DTypeError, MixedArraysError, ShapeError

X = [[1.0, -0.5], [-2.0, 3.0]]

VALUES = {
    "identity_function": X,
    "step_function": [[1.0, 0.0], [0.0, 1.0]],
    "relu": [[1.0, 0.0], [0.0, 3.0]],
    "relu_grad": [[1.0, 0.0], [0.0, 1.0]],
    "sigmoid": [[0.73105858, 0.37754067], [0.11920292, 0.95257413]],
    "sigmoid_grad": [[0.19661193, 0.23500371], [0.10499359, 0.04517666]],
    "softmax": [[0.81757448, 0.18242552], [0.00669285, 0.99330715]],
    "log_softmax": [[-0.20141328, -1.70141328], [-5.00671535, -0.00671535]],
}


@pytest.mark.parametrize("name", VALUES)
def test_value_dtype_and_device(name, device, dtype):
    y = getattr(functions, name)(device.asarray(X, dtype=dtype))
    np.testing.assert_allclose(to_numpy(y), VALUES[name], atol=1e-6 if dtype == "float32" else 1e-8)
    assert to_numpy(y).dtype == dtype
    assert device.backend.device_of(y) == device.name


@pytest.mark.parametrize("name", ["cross_entropy_error", "softmax_loss"])
@pytest.mark.parametrize("labels", [[1, 0], [[0.0, 1.0], [1.0, 0.0]]], ids=["indices", "one-hot"])
def test_cross_entropies_take_both_kinds_of_labels(name, labels, device, dtype):
    x = device.asarray(X, dtype=dtype)
    y = functions.softmax(x) if name == "cross_entropy_error" else x
    loss = getattr(functions, name)(y, device.asarray(labels))
    assert loss.shape == ()
    assert float(loss) == pytest.approx((1.70141328 + 5.00671535) / 2, rel=1e-5)


@pytest.mark.parametrize("size", [-1000.0, 1000.0, -np.inf, np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_sigmoid_is_stable_anywhere(size, dtype):
    y = functions.sigmoid(np.asarray([size], dtype))
    assert y.dtype == dtype
    assert y == (1 if size > 0 else 0)


def test_sigmoid_keeps_its_digits_far_below_zero():
    assert functions.sigmoid(np.asarray([-100.0]))[0] == pytest.approx(np.exp(-100.0), rel=1e-14)


@pytest.mark.parametrize("name", ["sigmoid", "relu", "softmax", "log_softmax"])
def test_nan_stays_nan(name):
    assert np.isnan(getattr(functions, name)(np.asarray([np.nan, 1.0]))[0])


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=1, max_dims=3, max_side=5),
        elements=st.floats(-1e4, 1e4),
    )
)
def test_softmax_is_a_distribution(x):
    y = functions.softmax(x)
    assert np.all(y >= 0)
    np.testing.assert_allclose(y.sum(axis=-1), 1.0)
    np.testing.assert_allclose(np.exp(functions.log_softmax(x)), y, atol=1e-12)


def test_softmax_loss_goes_on_where_the_books_stops():
    x, t = np.asarray([[0.0, -300.0]]), np.asarray([1])
    assert float(functions.softmax_loss(x, t)) == 300.0
    assert float(functions.cross_entropy_error(functions.softmax(x), t)) == pytest.approx(300.0)


def test_cross_entropy_of_a_probability_of_zero_is_finite(device, dtype):
    y, t = device.asarray([[1.0, 0.0]], dtype=dtype), device.asarray([1])
    assert 80 < float(functions.cross_entropy_error(y, t)) < 1000


def test_squared_errors():
    y, t = np.asarray([[3.0, 1.0], [0.0, 2.0]]), np.asarray([[1.0, 1.0], [0.0, 0.0]])
    assert functions.sum_squared_error(y, t) == 4.0
    assert functions.mean_squared_error(y, t) == 2.0
    assert functions.mean_squared_error(y[0], t[0]) == 2.0


def test_one_hot_rows_of_unknown_classes_are_nan(device):
    like = device.asarray(np.zeros((4, 3)), dtype="float32")
    rows = to_numpy(functions.one_hot(device.asarray([2, -1, 3, 0]), like))
    np.testing.assert_array_equal(rows[[0, 3]], [[0, 0, 1], [1, 0, 0]])
    assert np.isnan(rows[1:3]).all()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "int64", "uint64"])
def test_one_hot_takes_any_integer(dtype):
    rows = functions.one_hot(np.asarray([2, 0], dtype), np.zeros((2, 3), np.float32))
    np.testing.assert_array_equal(rows, [[0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 3), (2, 1), (1, 1), (2, 3)])
def test_sum_to_shape_undoes_broadcasting(shape):
    x = np.arange(6.0).reshape(2, 3)
    ones = np.ones(shape)
    np.testing.assert_array_equal(
        functions.sum_to_shape(x, shape),
        np.einsum("ij,ij->", x, np.broadcast_to(ones, x.shape)) if shape == () else _sums(x, shape),
    )


def _sums(x, shape):
    sums = np.zeros(shape)
    for index in np.ndindex(x.shape):
        place = tuple(min(i, n - 1) for i, n in zip(index[-len(shape) :], shape, strict=True))
        sums[place] += x[index]
    return sums


@pytest.mark.parametrize(
    ("y", "t", "error", "words"),
    [
        (np.zeros((2, 3)), np.zeros(3, int), ShapeError, r"\(3,\).*\(2, 3\)"),
        (np.zeros((2, 3)), np.zeros((2, 4)), ShapeError, r"\(2, 4\)"),
        (np.zeros((2, 3)), np.zeros(2), DTypeError, "integers"),
        (np.zeros((0, 3)), np.zeros(0, int), ShapeError, "empty"),
    ],
    ids=["length", "classes", "float-indices", "empty"],
)
def test_labels_that_do_not_fit_are_refused(y, t, error, words):
    with pytest.raises(error, match=words):
        functions.softmax_loss(y, t)


def test_arrays_of_two_libraries_are_refused(device):
    if device.backend.name == "numpy":
        pytest.skip("NumPy with NumPy is no mixture")
    with pytest.raises(MixedArraysError, match="softmax_loss"):
        functions.softmax_loss(device.asarray(X, dtype="float32"), np.asarray([0, 1]))
