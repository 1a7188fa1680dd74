"""Fingerprints: they tell whether an array was changed in place since a layer took it."""

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from koubai.arrays import describe, is_kind, shared_namespace
from koubai.errors import GraphError

__all__ = ["fingerprint", "require_same", "watched"]

_SMALL = 1 << 15  # bytes that are kept as they are
_SAMPLES = 16
_NO_ARRAYS = frozenset({bool, int, float, tuple, str, type(None), np.float32, np.float64})
_NUMPY = np.ndarray
_WORD = np.dtype(np.uint64)
_NEAR = 1e-4  # of the largest element: what another order of summing may do, and more


def fingerprint(array: Any) -> object:
    """
    Give something that is another once the array has been written to.

    Parameters
    ----------
    array : Array or float
        An array of any library.

    Returns
    -------
    object
        To be compared with a later one: torch's own count of changes; on NumPy the sum
        of the elements' bits and some of them in their order; elsewhere the sum, for which a
        GPU is waited for. None for what cannot be written to, and there for what is no float.
    """
    if isinstance(array, np.ndarray):
        return _bits(array)
    if isinstance(array, (int, float, np.generic)) or type(array).__module__.startswith("jax"):
        return None
    if hasattr(array, "_version"):
        try:
            return array._version  # noqa: SLF001  (the one place where torch tells)
        except RuntimeError:  # made in inference mode, where it does not
            return None
    xp = shared_namespace("backward", {"x": array})
    if not is_kind(xp, array.dtype, "real floating"):
        return None
    return repr(float(xp.sum(array)))  # so that NaN equals NaN


def watched(
    layer: object, given: Iterable[object], unread: Collection[str]
) -> list[tuple[Any, object]]:
    """
    Give the arrays in a layer that others can write to, each with its fingerprint.

    Parameters
    ----------
    layer
        A layer after its ``forward``.
    given : iterable
        What it took and what it gave.
    unread : collection of str
        The names of attributes whose values ``backward`` does not need.

    Returns
    -------
    list of (Array, object)
        What it holds of these, and views of them.
    """
    known = set(map(id, given))
    found = []
    for name, value in vars(layer).items():
        kind = type(value)
        if kind in _NO_ARRAYS or name in unread:
            continue
        if kind is _NUMPY:
            if id(value) in known or (value.base is not None and _is_view_of(value, given)):
                found.append((value, _bits(value)))
        elif (id(value) in known or _may_be_view(value)) and hasattr(value, "dtype"):
            mark = None if isinstance(value, type) else fingerprint(value)
            if mark is not None:
                found.append((value, mark))
    return found


def require_same(owner: str, before: Any, again: Any) -> None:
    """
    See that a layer that was run again gave what it had given before.

    Parameters
    ----------
    owner : str
        The layer, whom an error names.
    before, again : Array or float
        Both outputs.

    Raises
    ------
    GraphError
        If they differ by more than rounding.
    """
    if isinstance(before, (int, float)):
        same = before == again or before != before  # noqa: PLR0124  (NaN alone is not itself)
    else:
        xp = shared_namespace(owner, {"again": again, "before": before})
        equal = (before == again) | ((before != before) & (again != again))  # noqa: PLR0124
        same = bool(xp.all(equal)) or bool(
            xp.max(xp.abs(before - again)) <= _NEAR * xp.max(xp.abs(before))
        )
    if not same:
        raise GraphError(
            f"backward: {owner} gave {describe(before)}, and another one now that it was run again "
            "for create_graph=True. An array that it took or gave was changed in place, or what it "
            "does is random; so the gradient would be wrong."
        )


def _is_view_of(view: np.ndarray[Any, Any], given: Iterable[object]) -> bool:
    # NumPy says whose memory it is: that of a given array, or what that one is a view of.
    owner = view.base
    return any(owner is each or owner is getattr(each, "base", view) for each in given)


def _may_be_view(value: object) -> bool:
    # Elsewhere a fingerprint costs nothing, as in torch, or an array does not tell.
    return value.base is not None if isinstance(value, np.ndarray) else True


def _bits(array: np.ndarray[Any, Any]) -> object:
    if array.nbytes <= _SMALL or array.dtype.kind not in "fiubc":
        return array.tobytes()
    if not array.flags.c_contiguous:
        array = array.T if array.flags.f_contiguous else np.ascontiguousarray(array)
    whole = array.nbytes % 8 == 0
    words = array.reshape(-1).view(_WORD if whole else f"u{array.itemsize}")
    return np.add.reduce(words), words[:: words.size // _SAMPLES + 1].tobytes()
