"""Python values as JSON and back, without loss: tuples, integers of any size, NaN."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from koubai.errors import SavingError

__all__ = ["from_plain", "to_plain"]

_SMALL = 63  # bits that every reader of JSON takes


def to_plain(value: object, where: str) -> Any:
    """
    Turn a value into what JSON can hold; what it cannot hold by itself gets a tag.

    Parameters
    ----------
    value : object
        None, a bool, number, string, list, tuple or dict of such, or a NumPy array of
        numbers, as the states of NumPy's random generators have them.
    where : str
        What an error names, such as ``state``.

    Returns
    -------
    object
        Made of None, bool, int, finite float, str, list and dict with string keys.

    Raises
    ------
    SavingError
        If the value, or one within it, is of another type; the error says which.

    Examples
    --------
    >>> to_plain({"lr": 0.1, "betas": (0.9, 0.999), "seed": 2**100}, "state")
    {'lr': 0.1, 'betas': {'tuple': [0.9, 0.999]}, 'seed': {'int': '0x10000000000000000000000000'}}
    """
    if isinstance(value, np.generic) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        value = value.item()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        # In hexadecimal: Python writes decimals of 4300 digits at most.
        return int(value) if value.bit_length() <= _SMALL else {"int": hex(value)}
    if isinstance(value, float):
        return float(value) if isfinite(value) else {"float": str(float(value))}
    if isinstance(value, (list, tuple)):
        items = [to_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, Mapping):
        return _plain_dict(value, where)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        values = to_plain(value.ravel().tolist(), where)
        return {"array": {"dtype": value.dtype.name, "shape": [*value.shape], "values": values}}
    raise SavingError(
        f"{where} is {type(value).__module__}.{type(value).__qualname__}, which JSON cannot hold; "
        "numbers, strings, None, lists, tuples, dicts and NumPy arrays can be saved here. Turn it "
        "into those; arrays of other libraries go among the arrays."
    )


def from_plain(value: Any) -> Any:
    """
    Turn back what `to_plain` made.

    Parameters
    ----------
    value : object
        What was read from JSON.

    Returns
    -------
    object
        The value that was given to `to_plain`.

    Raises
    ------
    KeyError, TypeError, ValueError
        If a tag does not hold what belongs to it.

    Examples
    --------
    >>> from_plain({"betas": {"tuple": [0.9, 0.999]}, "seed": {"int": "0x10"}})
    {'betas': (0.9, 0.999), 'seed': 16}
    """
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = next(iter(value)) if len(value) == 1 else ""
    return _UNTAG[tag](value[tag]) if tag in _UNTAG else _dict(value)


def _array(told: dict[str, Any]) -> npt.NDArray[Any]:
    return np.asarray(from_plain(told["values"]), told["dtype"]).reshape(told["shape"])


def _dict(inside: dict[str, Any]) -> dict[str, Any]:
    return {key: from_plain(item) for key, item in inside.items()}


_UNTAG: dict[str, Callable[[Any], Any]] = {
    "array": _array,
    "dict": _dict,
    "float": float,
    "int": lambda digits: int(digits, 16),
    "tuple": lambda items: tuple(map(from_plain, items)),
}


def _plain_dict(value: Mapping[Any, object], where: str) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str):
            raise SavingError(
                f"{where} has the key {key!r}, but the keys of a JSON object are strings. "
                f"Write {str(key)!r}, or a list of pairs."
            )
    plain = {str(key): to_plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    return {"dict": plain} if len(plain) == 1 and _UNTAG.keys() & plain.keys() else plain
