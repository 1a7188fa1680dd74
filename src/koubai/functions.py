"""The book's functions: pure, of arrays of any library, with the input's dtype and device.

Names and signatures are those of "Deep Learning from Scratch" (``common/functions.py``).
Every function works on a whole batch; a vector is one sample.
"""

from koubai.arrays import shared_namespace
from koubai.errors import ShapeError
from koubai.labels import count_samples, one_hot
from koubai.typing import Array, Shape

__all__ = [
    "cross_entropy_error",
    "identity_function",
    "log_softmax",
    "mean_squared_error",
    "one_hot",
    "relu",
    "relu_grad",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_loss",
    "step_function",
    "sum_squared_error",
    "sum_to_shape",
]


def identity_function(x: Array) -> Array:
    """
    Give the input itself, the output activation of a regression.

    Parameters
    ----------
    x : Array, any shape
        The input.

    Returns
    -------
    Array
        The same array.
    """
    return x


def step_function(x: Array) -> Array:
    """
    Give 1 where the input is positive, else 0.

    Parameters
    ----------
    x : Array, any shape
        The input.

    Returns
    -------
    Array
        Zeros and ones, of the input's shape and dtype. (The book's are integers.)

    Examples
    --------
    >>> import numpy as np
    >>> step_function(np.asarray([-1.0, 1.0, 2.0]))
    array([0., 1., 1.])
    """
    xp = shared_namespace("step_function", {"x": x})
    return xp.astype(x > 0, x.dtype)


def sigmoid(x: Array) -> Array:
    """
    Give 1 / (1 + exp(-x)), without overflow at any value.

    Parameters
    ----------
    x : Array, any shape, floating point
        The input.

    Returns
    -------
    Array
        Of the input's shape and dtype.

    Notes
    -----
    With e = exp(-abs(x)), which is never above 1, the same number is 1 / (1 + e) for
    x >= 0 and e / (1 + e) below. The book's formula overflows below about -709.

    Examples
    --------
    >>> import numpy as np
    >>> sigmoid(np.asarray([-1000.0, -0.5, 0.0, 1.0]))
    array([0.        , 0.37754067, 0.5       , 0.73105858])
    """
    xp = shared_namespace("sigmoid", {"x": x})
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1.0, e) / (1.0 + e)


def sigmoid_grad(x: Array) -> Array:
    """
    Give the derivative of the sigmoid, y (1 - y) with y = sigmoid(x).

    Parameters
    ----------
    x : Array, any shape, floating point
        The input of the sigmoid.

    Returns
    -------
    Array
        Of the input's shape and dtype.
    """
    y = sigmoid(x)
    return (1.0 - y) * y


def relu(x: Array) -> Array:
    """
    Give max(x, 0).

    Parameters
    ----------
    x : Array, any shape
        The input.

    Returns
    -------
    Array
        Of the input's shape and dtype; NaN stays NaN.
    """
    xp = shared_namespace("relu", {"x": x})
    return xp.maximum(x, 0)


def relu_grad(x: Array) -> Array:
    """
    Give the derivative of relu: 1 where x > 0, else 0.

    Parameters
    ----------
    x : Array, any shape
        The input of relu.

    Returns
    -------
    Array
        Zeros and ones, of the input's shape and dtype.
    """
    return step_function(x)


def softmax(x: Array) -> Array:
    """
    Give exp(x) / sum(exp(x)) along the last axis.

    Parameters
    ----------
    x : Array, shape (..., C), floating point
        Scores of C classes.

    Returns
    -------
    Array, shape (..., C)
        Probabilities; each row sums to 1.

    Notes
    -----
    The largest score of a row is taken from it first, so that nothing overflows (the
    book, section 3.5.2).

    Examples
    --------
    >>> import numpy as np
    >>> softmax(np.asarray([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    xp = shared_namespace("softmax", {"x": x})
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def log_softmax(x: Array) -> Array:
    """
    Give log(softmax(x)) along the last axis, exact where softmax itself rounds to 0.

    Parameters
    ----------
    x : Array, shape (..., C), floating point
        Scores of C classes.

    Returns
    -------
    Array, shape (..., C)
        Logarithms of probabilities: x - max(x) - log(sum(exp(x - max(x)))).
    """
    xp = shared_namespace("log_softmax", {"x": x})
    z = x - xp.max(x, axis=-1, keepdims=True)
    return z - xp.log(xp.sum(xp.exp(z), axis=-1, keepdims=True))


def sum_squared_error(y: Array, t: Array) -> Array:
    """
    Give half the sum of squares, sum((y - t)^2) / 2.

    Parameters
    ----------
    y : Array, any shape
        Outputs.
    t : Array, the same shape
        Targets.

    Returns
    -------
    Array, shape ()
        The sum over all elements.
    """
    xp = shared_namespace("sum_squared_error", {"t": t, "y": y})
    _require_same_shape("sum_squared_error", y, t)
    return 0.5 * xp.sum((y - t) * (y - t))


def mean_squared_error(y: Array, t: Array) -> Array:
    """
    Give half the sum of squares of a sample, averaged over the batch.

    Parameters
    ----------
    y : Array, shape (N, ...) or (D,)
        Outputs of N samples; a vector is one sample.
    t : Array, the same shape
        Targets.

    Returns
    -------
    Array, shape ()
        sum((y - t)^2) / (2 N).
    """
    count_samples("mean_squared_error", y.shape)
    return sum_squared_error(y, t) / (y.shape[0] if y.ndim > 1 else 1)


def cross_entropy_error(y: Array, t: Array) -> Array:
    """
    Give the cross entropy of probabilities, -sum(t log y) / N.

    Parameters
    ----------
    y : Array, shape (N, C) or (C,)
        Probabilities.
    t : Array, one-hot of shape (N, C) or (C,), or class indices of shape (N,) or ()
        Labels; which of the two is told by their shape, never by their size.

    Returns
    -------
    Array, shape ()
        The mean over the batch; NaN if a class index is out of range.

    Notes
    -----
    A probability of 0 counts as the smallest normal number of its dtype, so that the
    loss stays finite. Where the scores are at hand, `softmax_loss` is exact.
    """
    xp = shared_namespace("cross_entropy_error", {"t": t, "y": y})
    tiny = float(xp.finfo(y.dtype).smallest_normal)
    return _cross_entropy("cross_entropy_error", xp.log(xp.maximum(y, tiny)), y, t)


def softmax_loss(x: Array, t: Array) -> Array:
    """
    Give the cross entropy of softmax(x), computed from the scores.

    Parameters
    ----------
    x : Array, shape (N, C) or (C,), floating point
        Scores.
    t : Array, one-hot of shape (N, C) or (C,), or class indices of shape (N,) or ()
        Labels.

    Returns
    -------
    Array, shape ()
        -sum(t log_softmax(x)) / N; NaN if a class index is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> float(softmax_loss(np.asarray([[0.0, -30.0]]), np.asarray([1])))
    30.000000000000092
    """
    return _cross_entropy("softmax_loss", log_softmax(x), x, t)


def sum_to_shape(x: Array, shape: Shape) -> Array:
    """
    Sum an array over the axes along which ``shape`` was broadcast to its shape.

    The derivative of broadcasting: what was used many times gets the sum of its
    gradients.

    Parameters
    ----------
    x : Array
        A gradient, of the broadcast shape.
    shape : tuple of int
        The shape before broadcasting.

    Returns
    -------
    Array, of shape ``shape``
        The sums.
    """
    xp = shared_namespace("sum_to_shape", {"x": x})
    if x.shape == shape:
        return x
    lead = x.ndim - len(shape)
    stretched = tuple(
        axis for axis, size in enumerate(shape, start=lead) if size == 1 and x.shape[axis] != 1
    )
    return xp.reshape(xp.sum(x, axis=(*range(lead), *stretched)), shape)


def _cross_entropy(owner: str, log_y: Array, y: Array, t: Array) -> Array:
    rows = one_hot(t, y, owner)
    xp = shared_namespace(owner, {"y": y})
    return -xp.sum(rows * xp.where(rows == 0, 0.0, log_y)) / count_samples(owner, y.shape)


def _require_same_shape(owner: str, y: Array, t: Array) -> None:
    if y.shape != t.shape:
        raise ShapeError(
            f"{owner}: t has the shape {tuple(t.shape)}, but y has {tuple(y.shape)}; "
            "they must be the same."
        )
