"""split: some samples put aside to validate with, as many of each class as it has."""

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from koubai.arrays import dtype_name, shared_namespace
from koubai.backend import device_of, to_numpy
from koubai.errors import DTypeError, KoubaiError, LabelError, ShapeError
from koubai.training.gather import DeviceRows, HostRows
from koubai.training.position import Rng
from koubai.typing import Array

__all__ = ["split", "split_rows"]

_Rows = npt.NDArray[np.int64]


def split(
    x: Array, t: Array, size: float = 0.1, *, rng: Rng = None, stratified: bool = True
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """
    Put some samples aside, to validate with.

    Parameters
    ----------
    x : Array, shape (n, ...)
        Samples.
    t : Array, class indices of shape (n,) or rows of shape (n, C)
        Labels; targets of any kind if ``stratified`` is False.
    size : float or int
        What is put aside: a part of the samples between 0 and 1, or a number of them.
    rng : int, numpy.random.Generator or None
        What draws them, the same on every device.
    stratified : bool
        True to take the same part of every class, to within one sample.

    Returns
    -------
    pair of pairs of Array
        ``(x_train, t_train), (x_validation, t_validation)``, copied, where the data lie and
        in their order. For data that are better not copied there is `split_rows`.

    Raises
    ------
    MixedArraysError, ShapeError
        If x and t do not go together.
    KoubaiError
        If one of the parts would be empty.
    LabelError, DTypeError
        If ``stratified`` and t holds no classes.

    Examples
    --------
    >>> import numpy as np
    >>> x, t = np.arange(6.0), np.asarray([0, 0, 0, 0, 1, 1])
    >>> (x_train, t_train), (x_validation, t_validation) = split(x, t, 0.5, rng=0)
    >>> t_train.tolist(), t_validation.tolist()
    ([0, 0, 1], [0, 0, 1])
    """
    shared_namespace("split", {"t": t, "x": x})
    if x.ndim == 0 or x.shape[:1] != t.shape[:1]:
        raise ShapeError(
            f"split: x has the shape {tuple(x.shape)} and t {tuple(t.shape)}; the same number of "
            "samples is wanted along their first axis."
        )
    train, validation = split_rows(t, size, rng=rng, stratified=stratified)
    return (_take(x, train), _take(t, train)), (_take(x, validation), _take(t, validation))


def split_rows(
    t: Array, size: float = 0.1, *, rng: Rng = None, stratified: bool = True
) -> tuple[_Rows, _Rows]:
    """
    Choose samples to validate with, without touching the data.

    Parameters
    ----------
    t, size, rng, stratified
        As for `split`. Labels are brought to the host to be counted.

    Returns
    -------
    pair of numpy.ndarray, int64
        The rows to train on and those to validate with, ascending; ``rows=`` of `Batches`.

    Raises
    ------
    KoubaiError, ShapeError, LabelError, DTypeError
        As `split` does.

    Examples
    --------
    >>> import numpy as np
    >>> from koubai.training import Batches, split_rows
    >>> x, t = np.zeros((8, 2)), np.asarray([0, 1] * 4)
    >>> train, validation = split_rows(t, 2, rng=0)
    >>> Batches(x, t, 3, rows=train).samples, Batches(x, t, 3, rows=validation).samples
    (6, 2)
    """
    n = t.shape[0] if t.ndim else 0
    count = _count(size, n)
    draw = np.random.default_rng(rng)
    # A class at a time in random order; of each the first so many are put aside.
    classes = _classes(t) if stratified else np.zeros(n, np.int64)
    found, of = np.unique(classes, return_inverse=True)
    sizes = np.bincount(of, minlength=len(found))
    shuffled = draw.permutation(n)
    by_class = np.split(shuffled[np.argsort(of[shuffled], kind="stable")], np.cumsum(sizes)[:-1])
    aside = [rows[:k] for rows, k in zip(by_class, _shares(sizes, count), strict=True)]
    chosen = np.zeros(n, np.bool_)
    chosen[np.concatenate(aside)] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _count(size: float, n: int) -> int:
    whole = isinstance(size, int) and not isinstance(size, bool)
    part = 0 < size < 1 and not isinstance(size, bool)
    count = int(size) if whole else round(size * n) if part else 0
    if not 0 < count < n:
        raise KoubaiError(
            f"split: size={size!r} of {n} samples puts {count} aside. Wanted is a part between 0 "
            "and 1 or a whole number, such that neither what is put aside nor the rest is empty."
        )
    return count


def _shares(sizes: npt.NDArray[np.int64], count: int) -> list[int]:
    """Divide a count in proportion to the sizes, by the largest remainders."""
    # In integers: the remainders of floats would depend on rounding.
    shares, rests = np.divmod(sizes * count, np.sum(sizes))
    missing = count - int(np.sum(shares))
    shares[np.argsort(-rests, kind="stable")[:missing]] += 1
    return [int(share) for share in shares]


def _classes(t: Array) -> npt.NDArray[Any]:
    values = to_numpy(t)
    remedy = "stratified=False splits targets of any kind."
    if values.ndim == 1:
        if values.dtype.kind not in "iub":
            raise DTypeError(
                f"split: class indices must be integers, but t is {dtype_name(t)}. {remedy}"
            )
        return values
    if values.ndim != 2:
        raise ShapeError(f"split: t has the shape {values.shape}, which holds no classes. {remedy}")
    good = np.all(values >= 0, axis=1) & (np.abs(np.sum(values, axis=1) - 1.0) < 0.01)
    if not np.all(good):
        row = int(np.flatnonzero(~good)[0])
        raise LabelError(f"split: row {row} of t is no one-hot label. {remedy}")
    return cast(npt.NDArray[Any], np.argmax(values, axis=1))


def _take(array: Array, rows: _Rows) -> Array:
    place = device_of(array)
    if place is None or place.backend.name == "numpy":
        return HostRows(array).take(rows, 0, len(rows))
    at = DeviceRows(array, place)
    return at.take(at.begin(rows), 0, len(rows))
