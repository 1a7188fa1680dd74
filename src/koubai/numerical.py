"""The numerical gradient: central differences, element by element (the book, section 4.4)."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import array_api_compat
import numpy as np

from koubai.arrays import describe, dtype_name, shared_namespace
from koubai.backend import device_of
from koubai.errors import DTypeError, KoubaiError, NotAnArrayError, ShapeError
from koubai.typing import Array, Index

__all__ = ["numerical_gradient"]


def numerical_gradient(f: Callable[[Array], Array | float], x: Array, h: float = 1e-4) -> Array:
    """
    Give the gradient of f at x by central differences.

    For every element, (f(x + h) - f(x - h)) / (2 h); two calls of f each.

    Parameters
    ----------
    f : callable
        Is handed an array like x with one element changed, and gives one number. Where
        arrays can be written, it is x itself that is changed and put back, so that the
        book's ``lambda W: self.loss(x, t)``, which looks at x elsewhere, works too.
    x : Array, any shape, float64
        The point. After the call it is what it was.
    h : float
        The step; the error of the result is of the order of its square.

    Returns
    -------
    Array
        Of the shape, dtype and device of x.

    Raises
    ------
    DTypeError
        If x is not float64: in float32 the rounding of f is as large as its change
        (the book's own function is 26 % wrong there), and integers cannot be changed
        by h.
    ShapeError, NotAnArrayError
        If f gives more than one number, or none.
    KoubaiError
        If h is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> numerical_gradient(lambda x: (x * x).sum(), np.asarray([3.0, 4.0]))
    array([6., 8.])
    """
    if not h > 0:
        raise KoubaiError(f"numerical_gradient: the step h is {h}, but it must be above 0.")
    _require_float64(x)
    place = device_of(x)
    if place is None:
        raise NotAnArrayError(f"numerical_gradient: no backend knows arrays like {type(x)}.")
    gradient = np.zeros(x.shape)
    in_place = array_api_compat.is_writeable_array(x)
    changed = _changed_in_place if in_place else _changed_copy
    for index in np.ndindex(x.shape):
        value = float(x[index])
        with changed(x, index, value + h) as above:
            rise = _number(f(above))
        with changed(x, index, value - h) as below:
            gradient[index] = (rise - _number(f(below))) / (2 * h)
    if not in_place and gradient.size and not gradient.any():
        warnings.warn(
            "numerical_gradient: no change of x changed f. Such an x cannot be written, so f must "
            "use the array that it is handed.",
            stacklevel=2,
        )
    return place.asarray(gradient)


@contextmanager
def _changed_in_place(x: Array, index: tuple[Index, ...], value: float) -> Iterator[Array]:
    kept = float(x[index])
    x[index] = value
    try:
        yield x
    finally:
        x[index] = kept


@contextmanager
def _changed_copy(x: Array, index: tuple[Index, ...], value: float) -> Iterator[Array]:
    import array_api_extra  # noqa: PLC0415  (7 ms that only arrays without assignment need)

    yield cast("Any", array_api_extra).at(x)[index].set(value, copy=True)


def _number(value: Array | float) -> float:
    shape = tuple(getattr(value, "shape", ()))
    if shape:
        raise ShapeError(
            f"numerical_gradient: f gave an array of shape {shape}, but one number is wanted, "
            "such as a loss."
        )
    try:
        return float(value)
    except TypeError as error:
        raise NotAnArrayError(
            f"numerical_gradient: f gave {describe(value)}, but one number is wanted. "
            "Does f return its result?"
        ) from error


def _require_float64(x: Array) -> None:
    shared_namespace("numerical_gradient", {"x": x})
    if dtype_name(x) != "float64":
        raise DTypeError(
            f"numerical_gradient: x is {dtype_name(x)}, but a numerical gradient has a meaning "
            'in float64 only. x = koubai.asarray(x, dtype="float64") makes it so; a network '
            'becomes so with network.astype("float64").'
        )
