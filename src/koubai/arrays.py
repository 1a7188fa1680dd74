"""Which namespace do these arrays share? The one question that every layer asks."""

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import array_api_compat
import numpy as np

from koubai.errors import MixedArraysError, NotAnArrayError
from koubai.typing import Array, DType, Namespace

__all__ = [
    "NUMPY",
    "array_namespace",
    "describe",
    "dtype_name",
    "holds_number",
    "is_kind",
    "native_device",
    "shared_namespace",
]

# NumPy follows the standard itself, and importing array_api_compat.numpy takes longer than NumPy.
NUMPY = cast(Namespace, np)
_OF_NUMPY = frozenset({np.ndarray, *np.sctypeDict.values()})
_NUMBERS = frozenset({bool, int, float, complex})

# Asking array-api-compat takes microseconds, and each layer asks; the answer goes by the type.
_SPACES_BY_TYPE: dict[type, Namespace] = {}
_PLAIN = frozenset({"torch", "cupy"})  # modules whose arrays simply have a device


def array_namespace(*arrays: object, **named: object) -> Namespace:
    """
    Give the namespace that the arrays share, or explain why they share none.

    Arrays given by keyword are named in an error. Python numbers are passed over: they
    belong to every namespace.

    Parameters
    ----------
    *arrays, **named
        Arrays of any library that follows the Array API standard.

    Returns
    -------
    Namespace
        The functions of the library, as array-api-compat presents them.

    Raises
    ------
    MixedArraysError
        If two arrays are of different libraries or on different devices.
    NotAnArrayError
        If something is no array, or nothing is one.

    Examples
    --------
    >>> import numpy as np
    >>> xp = array_namespace(np.asarray([1.0, 2.0]), 3)
    >>> float(xp.sum(np.asarray([1.0, 2.0])))
    3.0
    """
    numbered = {f"argument {number}": array for number, array in enumerate(arrays, start=1)}
    return shared_namespace("array_namespace", numbered | named)


def shared_namespace(owner: str, arrays: Mapping[str, object]) -> Namespace:
    """Do the work of `array_namespace` for ``owner``, whom an error names first."""
    for array in arrays.values():
        if type(array) not in _OF_NUMPY:
            return _prove_shared(owner, arrays)
    return NUMPY


@cache
def is_kind(xp: Namespace, dtype: DType, kind: str) -> bool:
    """Tell whether a dtype is ``real floating``, ``integral``, ...; remembers the answer."""
    return xp.isdtype(dtype, kind)


def native_device(array: Array) -> Any:
    """
    Give the device of an array as its own library writes it.

    None for an array that has none to tell, such as one that JAX is tracing; None
    is also what creation functions take for "wherever it is usual".
    """
    if type(array) in _OF_NUMPY:
        return "cpu"
    if type(array) in _SPACES_BY_TYPE and type(array).__module__ in _PLAIN:
        return cast(Any, array).device
    return array_api_compat.device(array)


def holds_number(value: object) -> bool:
    """Tell whether a value is a `koubai.graph.Variable` of a Python number."""
    return type(getattr(value, "array", None)) in _NUMBERS


def dtype_name(array: Array) -> str:
    """Give the name of an array's dtype, without the library that some write before it."""
    return str(array.dtype).rpartition(".")[2]


def describe(array: object) -> str:
    """Tell of an array in a few words: library, type, dtype, shape and device."""
    kind = type(array)
    name = f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}".removeprefix("builtins.")
    known = cast(Array, array)
    try:
        text = f"{name} of {dtype_name(known)} {tuple(known.shape)}"
        place = native_device(known)
    except (AttributeError, TypeError):  # no array after all
        return name
    return text if place is None else f"{text} on {place}"


def _prove_shared(owner: str, arrays: Mapping[str, object]) -> Namespace:
    found: dict[str, tuple[Namespace, Any]] = {}
    variable: Any = None
    for name, array in arrays.items():
        kind = type(array)
        if kind in _NUMBERS:
            continue
        if kind not in _SPACES_BY_TYPE and holds_number(array):
            variable = array
            continue
        try:
            xp = _namespace_of(array)
        except TypeError as error:
            raise _not_an_array(owner, name, array) from error
        found[name] = (xp, native_device(cast(Array, array)))
    if not found:
        if variable is not None:
            return _namespace_of(variable)
        name, array = next(iter(arrays.items()))
        raise _not_an_array(owner, name, array)
    spaces = [xp for xp, _ in found.values()]
    # While a step is recorded, arrays of the recorded library are its constants.
    shared = next((xp for xp in spaces if hasattr(xp, "records")), spaces[0])
    known = shared, getattr(shared, "records", shared)
    places = [place for _, place in found.values() if place is not None]
    # Compared one by one: CuPy's devices have no hash.
    if any(xp not in known for xp in spaces) or any(p != places[0] for p in places):
        raise _mixed(owner, {name: arrays[name] for name in found})
    # A number goes with arrays of every library; in a Variable it makes them part of its graph.
    known_here = variable is None or hasattr(shared, "records")
    return shared if known_here else cast(Namespace, variable.namespace_over(shared))


def _namespace_of(array: object) -> Namespace:
    known = _SPACES_BY_TYPE.get(type(array))
    if known is not None:
        return known
    if isinstance(array, (np.ndarray, np.generic)):
        return NUMPY
    found = cast(Namespace, array_api_compat.array_namespace(array))
    if not hasattr(found, "records"):  # what records has a namespace for each library
        _SPACES_BY_TYPE[type(array)] = found
    return found


def _not_an_array(owner: str, name: str, found: object) -> NotAnArrayError:
    return NotAnArrayError(
        f"{owner}: {name} is {describe(found)}, but an array is wanted. "
        f"koubai.asarray({name}) makes one."
    )


def _mixed(owner: str, arrays: Mapping[str, object]) -> MixedArraysError:
    from koubai.backend import device_of  # noqa: PLC0415  (the registry is needed here only)

    names = list(arrays)
    lines = "".join(f"\n  {name}: {describe(array)}" for name, array in arrays.items())
    home = device_of(arrays[names[-1]])
    wanted = f'"{home}"' if home else "..."
    return MixedArraysError(
        f"{owner}: {', '.join(names[:-1])} and {names[-1]} must be arrays of one library on one "
        f"device, and koubai moves nothing by itself. Found:{lines}\n"
        f"To bring {names[0]} to the device of {names[-1]}: "
        f"{names[0]} = koubai.asarray({names[0]}, device={wanted}); "
        "a whole network moves with network.to(device)."
    )
