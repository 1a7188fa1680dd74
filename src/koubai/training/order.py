"""The order of an epoch: drawn on the host, so that it is the same on every device."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from koubai.arrays import describe
from koubai.backend import to_numpy
from koubai.errors import KoubaiError, ShapeError

__all__ = ["REPLACEMENT", "Order", "checked_rows", "draw_order", "order_of"]

Order: TypeAlias = npt.NDArray[Any]

REPLACEMENT = "drawn with replacement"
_SHUFFLED = "shuffled"
_AS_IT_IS = "in order"


def order_of(*, shuffle: bool, replacement: bool) -> str:
    """Name the order that two options ask for."""
    if replacement and not shuffle:
        raise KoubaiError(
            "Batches: replacement=True draws at random, and shuffle=False keeps the order of the "
            "data. Leave one of the two away."
        )
    if replacement:
        return REPLACEMENT
    return _SHUFFLED if shuffle else _AS_IT_IS


def draw_order(kind: str, seed: int, epoch: int, *, samples: int, draws: int) -> Order:
    """
    Draw the order of one epoch, from its number alone: to go on, none before it is drawn.

    Parameters
    ----------
    kind : str
        As `order_of` names it.
    seed, epoch : int
        What the order depends on.
    samples : int
        How many samples there are.
    draws : int
        How many are drawn, with replacement.

    Returns
    -------
    numpy.ndarray of integers
        Each sample once, or so many of them.
    """
    if kind == _AS_IT_IS:
        return np.arange(samples)
    rng = np.random.default_rng([seed, epoch])
    if kind == REPLACEMENT:
        return rng.integers(0, samples, draws)
    return rng.permutation(samples)


def checked_rows(rows: Any, n: int) -> Order | None:
    """See that rows are indices of n samples."""
    if rows is None:
        return None
    found = np.asarray(rows if isinstance(rows, (list, tuple)) else to_numpy(rows))
    good = found.ndim == 1 and found.size > 0 and found.dtype.kind in "iu"
    if not good or int(np.min(found)) < 0 or int(np.max(found)) >= n:
        raise ShapeError(
            f"Batches: rows is {describe(found)}, but a vector of at least one integer from 0 to "
            f"{n - 1} is wanted."
        )
    return found.copy()
