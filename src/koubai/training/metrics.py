"""Metrics: how good scores are, told by arrays; the host reads them when it is asked to."""

from math import prod

from koubai.arrays import is_kind, native_device, shared_namespace
from koubai.errors import KoubaiError, ShapeError
from koubai.labels import require_labels
from koubai.typing import Array, Namespace

__all__ = ["accuracy", "confusion_matrix", "hits", "top_k_accuracy", "top_k_hits"]


def accuracy(y: Array, t: Array) -> Array:
    """
    Give the part of the samples whose highest score is that of their label.

    Parameters
    ----------
    y : Array, shape (N, C) or (C,)
        Scores or probabilities. Of equal scores the first counts as the highest.
    t : Array, class indices of shape (N,) or rows of shape (N, C)
        Labels. An index that is no class is never hit.

    Returns
    -------
    Array, shape (), float32
        From 0 to 1, on the device.

    Raises
    ------
    ShapeError, DTypeError
        If t does not look like labels of such scores, or there are no samples.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.asarray([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    >>> round(float(accuracy(y, np.asarray([1, 0, 0]))), 3)
    0.667
    """
    return hits(y, t) / _count("accuracy", y)


def top_k_accuracy(y: Array, t: Array, k: int = 5) -> Array:
    """
    Give the part of the samples whose label is among the k highest scores.

    Parameters
    ----------
    y : Array, shape (N, C) or (C,)
        Scores or probabilities. Of equal scores the first counts as the higher.
    t : Array, class indices of shape (N,) or rows of shape (N, C)
        Labels. An index that is no class is never hit.
    k : int
        From 1, which is the `accuracy`, to C.

    Returns
    -------
    Array, shape (), float32
        From 0 to 1, on the device.

    Raises
    ------
    KoubaiError
        If k is not from 1 to C.
    ShapeError, DTypeError
        If t does not look like labels of such scores, or there are no samples.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.asarray([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]])
    >>> float(top_k_accuracy(y, np.asarray([2, 1]), 2))
    0.5
    """
    return top_k_hits(y, t, k) / _count("top_k_accuracy", y)


def confusion_matrix(y: Array, t: Array, classes: int | None = None) -> Array:
    """
    Count the samples of each class by the class that they are taken for.

    Parameters
    ----------
    y : Array, shape (N, C) or (C,)
        Scores or probabilities; or integers of shape (N,), the classes themselves, which
        need ``classes``.
    t : Array, class indices of shape (N,) or rows of shape (N, C)
        Labels. A sample whose index is no class is counted nowhere.
    classes : int, optional
        The number of classes; by default C.

    Returns
    -------
    Array, shape (classes, classes), integers
        In row i and column j the samples of class i that are taken for class j. Exact up
        to 2**24 samples a count.

    Raises
    ------
    KoubaiError
        If the number of classes is not known, or below that of the scores.
    ShapeError, DTypeError
        If t does not look like labels of such scores, or there are no samples.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.asarray([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    >>> confusion_matrix(y, np.asarray([1, 0, 0]))
    array([[1, 1],
           [0, 1]])
    """
    owner = "confusion_matrix"
    xp = shared_namespace(owner, {"t": t, "y": y})
    taken = _classes_taken(xp, y, t, classes)
    size = y.shape[-1] if classes is None else classes
    every = xp.arange(size, device=native_device(t))
    label = _label(xp, t, rows=t.shape == y.shape and taken is not y)
    true = xp.astype(xp.reshape(label, (-1, 1)) == every, xp.float32)
    seen = xp.astype(xp.reshape(taken, (-1, 1)) == every, xp.float32)
    return xp.astype(xp.matmul(true.T, seen), every.dtype)


def hits(y: Array, t: Array) -> Array:
    """Count what `accuracy` gives the part of; float32, exact up to 2**24."""
    xp = _checked("accuracy", y, t)
    hit = xp.argmax(y, axis=-1, keepdims=True) == _label(xp, t, rows=t.shape == y.shape)
    return xp.sum(xp.astype(xp.asarray(hit), xp.float32))


def top_k_hits(y: Array, t: Array, k: int) -> Array:
    """Count what `top_k_accuracy` gives the part of; float32, exact up to 2**24."""
    owner = "top_k_accuracy"
    xp = _checked(owner, y, t)
    classes = y.shape[-1]
    if not 1 <= k <= classes:
        raise KoubaiError(f"{owner}: k is {k}, but from 1 to the {classes} classes of the scores.")
    every = xp.arange(classes, device=native_device(y))
    label = _label(xp, t, rows=t.shape == y.shape)
    own = xp.max(xp.where(every == label, y, float("-inf")), axis=-1, keepdims=True)
    # What is not below its score and stands before it, or above it, comes first; so does NaN.
    before = xp.where(every < label, ~(y < own), ~(y <= own))
    rank = xp.sum(xp.astype(xp.asarray(before), xp.float32), axis=-1)
    known = (label >= 0) & (label < classes)
    return xp.sum(xp.astype(xp.asarray((rank < k) & known[..., 0]), xp.float32))


def _checked(owner: str, y: Array, t: Array) -> Namespace:
    xp = shared_namespace(owner, {"t": t, "y": y})
    _count(owner, y)
    require_labels(owner, t, y.shape)
    return xp


def _count(owner: str, y: Array) -> int:
    if y.ndim == 0 or 0 in y.shape:
        raise ShapeError(
            f"{owner}: scores of shape {tuple(y.shape)} are none; (N, C) or (C,) is wanted, with "
            "at least one sample."
        )
    return prod(y.shape[:-1])


def _label(xp: Namespace, t: Array, *, rows: bool) -> Array:
    """Give class indices of shape (..., 1), of the dtype that argmax has."""
    if rows:
        return xp.argmax(t, axis=-1, keepdims=True)
    # Signed first: bytes would be compared as bytes, where -1 is 255.
    return xp.astype(t[..., None], xp.arange(0, device=native_device(t)).dtype, copy=False)


def _classes_taken(xp: Namespace, y: Array, t: Array, classes: int | None) -> Array:
    owner = "confusion_matrix"
    _count(owner, y)
    if y.ndim == 1 and is_kind(xp, y.dtype, "integral"):
        if classes is None:
            raise KoubaiError(f"{owner}: y holds classes, so their number is wanted: classes=...")
        require_labels(owner, t, (*y.shape, classes))
        return y
    require_labels(owner, t, y.shape)
    if classes is not None and classes < y.shape[-1]:
        raise KoubaiError(
            f"{owner}: classes is {classes}, but the scores are of {y.shape[-1]} classes."
        )
    return xp.argmax(y, axis=-1)
