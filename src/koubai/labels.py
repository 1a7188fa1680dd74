"""Labels: class indices or one-hot rows, and what can be seen of them without their values."""

from math import prod

from koubai.arrays import dtype_name, is_kind, native_device, shared_namespace
from koubai.errors import DTypeError, ShapeError
from koubai.typing import Array, Shape

__all__ = ["count_samples", "one_hot", "require_labels"]


def one_hot(t: Array, like: Array, owner: str = "one_hot") -> Array:
    """
    Give labels as rows with a single 1, of the dtype of the scores they go with.

    Parameters
    ----------
    t : Array, shape (...) of integers, or (..., C)
        Class indices; or rows that are one-hot already, which only change their dtype.
    like : Array, shape (..., C)
        The scores or probabilities: number of classes, dtype and device.
    owner : str
        Whom an error names.

    Returns
    -------
    Array, shape (..., C)
        One-hot rows. A row whose index is out of range, or that is no distribution
        over the classes (not negative, with the sum 1), is NaN throughout: a loss made
        from it is NaN, never a plausible number.

    Raises
    ------
    ShapeError
        If the shapes do not go together.
    DTypeError
        If class indices are not integers.

    Examples
    --------
    >>> import numpy as np
    >>> one_hot(np.asarray([2, 0]), np.zeros((2, 3)))
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    xp = shared_namespace(owner, {"t": t, "y": like})
    require_labels(owner, t, like.shape)
    if t.shape == like.shape:
        rows = xp.astype(t, like.dtype, copy=False)
        total = xp.sum(rows, axis=-1, keepdims=True)
        known = (xp.abs(total - 1.0) < 0.01) & xp.all(rows >= 0, axis=-1, keepdims=True)
        return xp.where(known, rows, float("nan"))
    # A table with a row for every class, and one of NaN at each end for what is no class.
    classes, place = like.shape[-1], native_device(t)
    nowhere = xp.full((1, classes), float("nan"), dtype=like.dtype, device=place)
    table = xp.concat([nowhere, xp.eye(classes, dtype=like.dtype, device=place), nowhere])
    index = xp.astype(xp.reshape(t, (-1,)), xp.arange(0, device=place).dtype, copy=False)
    row = xp.minimum(xp.maximum(index, -1), classes) + 1
    rows = xp.take(table, row, axis=0)
    return rows if rows.shape == like.shape else xp.reshape(rows, like.shape)


def require_labels(owner: str, t: Array, shape: Shape) -> None:
    """
    See that labels have a shape and a dtype of labels; their values are not read.

    Parameters
    ----------
    owner : str
        Whom an error names.
    t : Array
        Labels.
    shape : tuple of int
        The shape (..., C) of the scores or probabilities that they go with.

    Raises
    ------
    ShapeError
        If t has neither this shape nor this shape without its last axis.
    DTypeError
        If class indices are not integers.
    """
    xp = shared_namespace(owner, {"t": t})
    if t.shape not in {shape, shape[:-1]}:
        rows, indices = tuple(shape), tuple(shape[:-1])
        raise ShapeError(
            f"{owner}: labels t of shape {tuple(t.shape)} do not go with outputs of shape {rows}. "
            f"Wanted are class indices of shape {indices} or one-hot rows of shape {rows}."
        )
    if t.shape != shape and not is_kind(xp, t.dtype, "integral"):
        raise DTypeError(
            f"{owner}: class indices must be integers, but t is {dtype_name(t)}. "
            'koubai.asarray(t, dtype="int32") makes them so, where they are whole numbers.'
        )


def count_samples(owner: str, shape: Shape) -> int:
    """
    Count the samples over which a mean is taken; a vector is one.

    Parameters
    ----------
    owner : str
        Whom an error names.
    shape : tuple of int
        The shape (..., C) of scores.

    Returns
    -------
    int
        The product of all axes but the last.

    Raises
    ------
    ShapeError
        If there are no scores at all.
    """
    if not shape:
        raise ShapeError(f"{owner}: a single number is no scores; shape (N, C) or (C,) is wanted.")
    if 0 in shape:
        raise ShapeError(f"{owner}: the batch is empty, and a mean over no samples has no value.")
    return prod(shape[:-1])
