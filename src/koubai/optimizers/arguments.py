"""The door of optimizers and schedules: numbers that make sense."""

from math import isfinite
from typing import Any

from koubai.errors import OptimizerError

__all__ = ["number", "require_optimizer", "whole_number"]


def number(
    owner: str,
    name: str,
    value: Any,
    *,
    least: float = 0.0,
    below: float = float("inf"),
    open_: bool = False,
) -> Any:
    """
    Give a number, having seen that it lies where it should.

    Parameters
    ----------
    owner, name : str
        Whom and what an error names.
    value
        A Python number, or a scalar of NumPy, of which a Python number is made.
    least, below : float
        ``least <= value < below``.
    open_ : bool
        Whether ``least`` itself is too little.

    Returns
    -------
    int or float
        The number.

    Raises
    ------
    OptimizerError
        If it is no number, not finite, or out of range.
    """
    try:
        found = float(value)
    except (TypeError, ValueError) as error:
        raise OptimizerError(f"{owner}: {name} is {value!r}, but a number is wanted.") from error
    if not isfinite(found) or found < least or found >= below or (open_ and found == least):
        more = "more than" if open_ else "at least"
        less = f" and less than {below:g}" if isfinite(below) else ""
        raise OptimizerError(
            f"{owner}: {name} is {value!r}, but a finite number, {more} {least:g}{less}, is wanted."
        )
    return value.item() if hasattr(value, "item") else value


def whole_number(owner: str, name: str, value: Any, *, least: int = 0) -> int:
    """Give a whole number that is at least so much; an OptimizerError says which is not."""
    found = number(owner, name, value, least=least)
    if found != int(found):
        raise OptimizerError(f"{owner}: {name} is {value!r}, but a whole number is wanted.")
    return int(found)


def require_optimizer(owner: str, optimizer: object) -> None:
    """See that something can be composed: it has ``update``."""
    if not callable(getattr(optimizer, "update", None)):
        raise OptimizerError(
            f"{owner}: {optimizer!r} has no update(params, grads). "
            f"{owner}(koubai.SGD(lr=0.1), ...) takes an optimizer first."
        )
