"""Rows of arrays: a batch read from where the data lie, and from nowhere else."""

import mmap
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from koubai.backend import Device
from koubai.typing import Array

__all__ = ["DeviceRows", "HostRows"]

HostArray: TypeAlias = npt.NDArray[Any]

_FOLIO = 2**21  # bytes that the kernel may map beside a row that is read
_RESIDENT = 2**26  # bytes of a mapped file that may stay in the process


class HostRows:
    """
    The rows of a NumPy array, in memory or mapped from a file.

    Parameters
    ----------
    array : numpy.ndarray, shape (n, ...)
        The data. Of a mapped file only the rows that are asked for are read, and its pages
        leave the process again, however much of it has been read.
    """

    def __init__(self, array: Array) -> None:
        self._array = np.asarray(array)
        flags = self._array.flags
        self._native = self._array.dtype.newbyteorder("=")
        # np.take would first make a contiguous copy of the whole array where it is not one.
        self._plain = flags.c_contiguous and flags.aligned and self._array.dtype.isnative
        self._row = self._array[:1].nbytes
        self._mapping = _mapping(array)
        self._piece = max(1, _RESIDENT // 2 // (self._row + _FOLIO))
        self._touched = 0

    def begin(self, order: HostArray) -> HostArray:
        """Take in the order of an epoch: on the host there is nothing to do."""
        return order

    def buffer(self, size: int) -> HostArray:
        """Make room for so many rows."""
        return np.empty((size, *self._array.shape[1:]), self._native)

    def take(self, order: Any, start: int, stop: int, out: HostArray | None = None) -> Array:
        """Read the rows ``order[start:stop]``, into the first of ``out`` if it is given."""
        rows = order[start:stop]
        place = None if out is None else out[: len(rows)]
        if self._mapping is None:
            return cast(Array, self._read(rows, place))
        place = self.buffer(len(rows)) if place is None else place
        for at in range(0, len(rows), self._piece):
            part = rows[at : at + self._piece]
            self._read(part, place[at : at + len(part)])
            self._let_go(part)
        return cast(Array, place)

    def _read(self, rows: HostArray, place: HostArray | None) -> HostArray:
        if self._plain:  # with mode="raise" NumPy would go through a buffer of its own
            return np.take(self._array, rows, axis=0, out=place, mode="clip")
        found = self._array[rows]
        if place is None:
            return found.astype(self._native, copy=False)
        place[...] = found
        return place

    def _let_go(self, rows: HostArray) -> None:
        apart = len(rows) * (self._row + _FOLIO)
        together = int(np.max(rows) - np.min(rows) + 1) * self._row + _FOLIO
        self._touched += min(apart, together)
        if self._mapping is not None and self._touched > _RESIDENT - self._piece * _FOLIO:
            self._mapping.madvise(mmap.MADV_DONTNEED)
            self._touched = 0


class DeviceRows:
    """
    The rows of an array on a device, gathered there.

    Parameters
    ----------
    array : Array, shape (n, ...)
        The data.
    place : Device
        Where they lie.
    """

    def __init__(self, array: Array, place: Device) -> None:
        self._array = array
        self._place = place
        self._xp = place.xp

    def begin(self, order: HostArray) -> Array:
        """Bring the order of an epoch to the device, once."""
        return self._place.asarray(order)

    def take(self, order: Any, start: int, stop: int) -> Array:
        """Gather the rows ``order[start:stop]``."""
        with self._place.backend.scope(self._place.name):  # a thread has a device of its own
            return self._xp.take(self._array, order[start:stop], axis=0)


def _mapping(array: object) -> mmap.mmap | None:
    """Find the mapped file behind an array whose pages can be read again at any time."""
    if not hasattr(mmap, "MADV_DONTNEED"):
        return None
    shared = False
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            shared = array.mode != "c"  # in that mode the pages hold what is in no file
        array = array.base
    if not shared or not isinstance(array, mmap.mmap) or len(array) <= _RESIDENT:
        return None
    return array
