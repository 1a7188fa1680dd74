"""The checks of values that stand at a network's door, because a layer reads none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from koubai.backend import to_numpy
from koubai.errors import LabelError
from koubai.labels import require_labels
from koubai.typing import Array, Shape

__all__ = ["check_labels", "check_targets", "look_now", "watch_loss", "watched_by"]

_Check: TypeAlias = Callable[[Array], None]
_Watch: TypeAlias = Callable[[Array, Array, _Check], None]


def look_now(loss: Array, t: Array, check: _Check) -> None:
    """Read the loss on the host, and look at the targets only if it is no finite number."""
    if not isfinite(float(loss)):
        check(getattr(t, "array", t))  # in a graph, t may be a Variable


_watch: ContextVar[_Watch] = ContextVar("koubai_watch", default=look_now)


def watch_loss(loss: Array, t: Array, check: _Check) -> None:
    """
    Let the targets be checked where a loss shows that something is wrong with them.

    Parameters
    ----------
    loss : Array, shape ()
        The loss.
    t : Array
        The targets.
    check : callable
        Takes the targets, and raises if they are none.
    """
    _watch.get()(loss, t, check)


@contextmanager
def watched_by(watch: _Watch) -> Iterator[None]:
    """Let another function than `look_now` decide when a loss is looked at."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def check_labels(owner: str, t: Array, shape: Shape) -> None:
    """
    See that labels are labels; brings them to the host for it.

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
    values = to_numpy(t)
    if t.shape == shape:
        good = (np.abs(np.sum(values, axis=-1) - 1.0) < 0.01) & np.all(values >= 0, axis=-1)
        _require(owner, values, good, "the row of a label must not be negative, and must sum to 1")
    else:
        good = (values >= 0) & (values < shape[-1])
        _require(owner, values, good, f"a class index must be from 0 to {shape[-1] - 1}")


def check_targets(owner: str, t: Array) -> None:
    """
    See that the targets of a regression are finite; brings them to the host for it.

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
    values = to_numpy(t)
    _require(owner, values, np.isfinite(values), "targets must be finite")


def _require(owner: str, values: npt.NDArray[Any], good: npt.NDArray[np.bool_], rule: str) -> None:
    if np.all(good):
        return
    where = tuple(int(i) for i in np.argwhere(np.logical_not(good))[0])
    place = ", ".join(map(str, where))
    raise LabelError(f"{owner}: t[{place}] is {values[where].tolist()}, but {rule}.")
