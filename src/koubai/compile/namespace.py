"""The functions of the standard, which write down what is done to arrays without values."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Never, TypeAlias

import numpy as np

from koubai.compile.blame import cannot
from koubai.compile.operations import REDUCTIONS, arrays_in, axes_of, elementwise
from koubai.compile.recording import Recorded, Recording
from koubai.typing import Axis, Namespace, Shape

__all__ = ["RecordingNamespace", "namespace_for"]

_Function: TypeAlias = Callable[..., Any]


class RecordingNamespace:
    """
    The functions of the standard, which write down when a recorded array is among them.

    Parameters
    ----------
    xp : Namespace
        The library for which it is recorded. What has no recorded array among its
        arguments, such as ``arange``, is done by it at once.
    """

    def __init__(self, xp: Namespace) -> None:
        self.records = xp
        self.__name__ = f"recording {getattr(xp, '__name__', xp)}"

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.records, name)
        if not callable(found) or isinstance(found, type):
            return found
        if name in _SHAPE_OF_DATA:
            return _shape_of_data(name)
        return partial(self._call, name)

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        recorded = [arg for arg in arrays_in((args, options)) if isinstance(arg, Recorded)]
        if not recorded:
            return getattr(self.records, name)(*args, **options)
        ours = _OURS.get(name)
        if ours is not None:
            return ours(*args, **options)
        host = getattr(np, name, None)
        known = getattr(host, "__name__", name)
        recording = recorded[0].recording
        if (elementwise(known) or known == "matmul") and not options:
            return recording.write(known, *args)
        if name in REDUCTIONS:
            return _reduce(recording, name, *args, **options)
        return recording.write_call(name, args, options)

    def asarray(
        self, obj: Any, /, *, dtype: Any = None, device: Any = None, copy: Any = None
    ) -> Any:
        """Make an array of anything but a recorded array, which is one."""
        if not isinstance(obj, Recorded):
            return self.records.asarray(obj, dtype=dtype, device=device, copy=copy)
        if obj.dtype is None:
            array = self.records.asarray(1, dtype=dtype or float, device=device)
            return array * obj
        return obj if dtype is None else self.astype(obj, dtype)

    def astype(self, x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
        """Change the dtype."""
        if not isinstance(x, Recorded):
            return self.records.astype(x, dtype, copy=copy)
        del device
        return x if x.dtype == dtype else x.recording.write("astype", x, dtype=np.dtype(dtype))

    def reshape(self, x: Any, /, shape: Shape, *, copy: bool | None = None) -> Any:
        """Change the shape."""
        del copy
        return x.recording.write("reshape", x, shape=tuple(shape))

    def matrix_transpose(self, x: Any, /) -> Any:
        """Exchange the last two axes."""
        axes = (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
        return self.permute_dims(x, axes)

    def permute_dims(self, x: Any, /, axes: tuple[int, ...]) -> Any:
        """Bring the axes into another order."""
        axes = tuple(axis % x.ndim for axis in axes)
        if not isinstance(x, Recorded):
            return self.records.permute_dims(x, axes)
        return x.recording.write("permute_dims", x, axes=axes)


@cache
def namespace_for(xp: Namespace) -> RecordingNamespace:
    """Give the one recording namespace of a library."""
    return RecordingNamespace(xp)


def _reduce(
    recording: Recording,
    name: str,
    x: Any,
    /,
    *,
    axis: Axis = None,
    keepdims: bool = False,
    dtype: Any = None,
) -> Recorded:
    x = x if dtype is None else namespace_for(recording.xp).astype(x, dtype)
    return recording.write(name, x, axis=axes_of(axis, x.ndim), keepdims=keepdims)


def _of(x: Recorded) -> RecordingNamespace:
    return namespace_for(x.recording.xp)


def _expand_dims(x: Recorded, /, *, axis: int = 0) -> Any:
    axis = axis % (x.ndim + 1)
    return _of(x).reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def _squeeze(x: Recorded, /, axis: int | tuple[int, ...]) -> Any:
    gone = axes_of(axis, x.ndim)
    return _of(x).reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in gone))


def _broadcast_to(x: Recorded, /, shape: Shape) -> Any:
    return x.recording.write("broadcast_to", x, shape=tuple(shape))


def _where(condition: Any, x1: Any, x2: Any, /) -> Any:
    recording = next(arg.recording for arg in (condition, x1, x2) if isinstance(arg, Recorded))
    return recording.write("where", condition, x1, x2)


def _take(x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
    recording = next(arg.recording for arg in (x, indices) if isinstance(arg, Recorded))
    return recording.write("take", x, indices, axis=(axis or 0) % x.ndim)


def _clip(x: Any, /, min: Any = None, max: Any = None) -> Any:  # noqa: A002  (the standard's names)
    xp = _of(next(arg for arg in (x, min, max) if isinstance(arg, Recorded)))
    x = x if min is None else xp.maximum(x, min)
    return x if max is None else xp.minimum(x, max)


def _mean(x: Recorded, /, *, axis: Axis = None, keepdims: bool = False) -> Any:
    count = 1
    for each in axes_of(axis, x.ndim):
        count *= x.shape[each]
    return _reduce(x.recording, "sum", x, axis=axis, keepdims=keepdims) / count


def _made_like(name: str, x: Recorded, /, *args: Any, dtype: Any = None, device: Any = None) -> Any:
    make = getattr(x.recording.xp, name)
    place = x.device if device is None else device
    made = make(x.shape, *args, dtype=dtype or x.dtype, device=place)
    return Recorded(x.recording, x.recording.constant(made), place)


def _of_dtypes(name: str) -> _Function:
    def function(*args: Any, **options: Any) -> Any:
        return getattr(np, name)(*(getattr(arg, "dtype", arg) for arg in args), **options)

    return function


_OURS: Mapping[str, _Function] = {
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "broadcast_to": _broadcast_to,
    "where": _where,
    "take": _take,
    "clip": _clip,
    "mean": _mean,
    "zeros_like": partial(_made_like, "zeros"),
    "ones_like": partial(_made_like, "ones"),
    "empty_like": partial(_made_like, "zeros"),
    "full_like": partial(_made_like, "full"),
    "result_type": _of_dtypes("result_type"),
    "can_cast": _of_dtypes("can_cast"),
    "finfo": _of_dtypes("finfo"),
    "iinfo": _of_dtypes("iinfo"),
}

_SHAPE_OF_DATA = frozenset(
    {"nonzero", "argwhere", "flatnonzero", "unique", "extract", "compress"}
    | {"unique_all", "unique_counts", "unique_inverse", "unique_values"}
)


def _shape_of_data(name: str) -> _Function:
    def function(*_: Any, **__: Any) -> Never:
        raise cannot(
            f"calls {name}, whose shape depends on the data",
            "Write it with a mask instead: xp.where(mask, x, 0.0) keeps the shape.",
        )

    return function
