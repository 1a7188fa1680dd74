"""The checks of values that stand at a network's door, because a layer reads none."""

import numpy as np

from koubai.arrays import shared_namespace
from koubai.backend import to_numpy
from koubai.errors import LabelError
from koubai.functions import require_labels
from koubai.typing import Array, Shape

__all__ = ["check_labels", "check_targets"]


def check_labels(owner: str, t: Array, shape: Shape) -> None:
    """
    See that labels are labels; waits for the device to say so.

    Parameters
    ----------
    owner : str
        Whom an error names.
    t : Array
        Class indices, or rows of probabilities.
    shape : tuple of int
        The shape (..., C) of the scores that they go with.

    Raises
    ------
    LabelError
        If a class index is not from 0 to C - 1, or a row does not sum to 1; the
        message shows the first such label and where it stands.
    ShapeError, DTypeError
        If they do not even look like labels.
    """
    require_labels(owner, t, shape)
    xp = shared_namespace(owner, {"t": t})
    values = xp.astype(t, xp.float32)  # exact for indices, and every comparison is defined
    if t.shape == shape:
        sums = xp.abs(xp.sum(values, axis=-1) - 1.0) < 0.01
        good = sums & xp.all(values >= 0.0, axis=-1)
        _require(owner, t, good, "the row of a label must not be negative, and must sum to 1")
    else:
        good = (values >= 0.0) & (values < float(shape[-1]))
        _require(owner, t, good, f"a class index must be from 0 to {shape[-1] - 1}")


def check_targets(owner: str, t: Array) -> None:
    """
    See that the targets of a regression are finite; waits for the device to say so.

    Parameters
    ----------
    owner : str
        Whom an error names.
    t : Array
        Targets, floating point.

    Raises
    ------
    LabelError
        If one is NaN or infinite.
    """
    xp = shared_namespace(owner, {"t": t})
    _require(owner, t, xp.isfinite(t), "targets must be finite")


def _require(owner: str, t: Array, good: Array, rule: str) -> None:
    xp = shared_namespace(owner, {"t": good})
    if bool(xp.all(good)):
        return
    where = tuple(int(i) for i in np.argwhere(np.logical_not(to_numpy(good)))[0])
    found = to_numpy(t)[where].tolist()
    place = ", ".join(map(str, where))
    raise LabelError(f"{owner}: t[{place}] is {found}, but {rule}.")
