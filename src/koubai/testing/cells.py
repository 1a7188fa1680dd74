"""Cells: the devices and dtypes over which tests and gradient checks are spread."""

from collections.abc import Iterable
from dataclasses import dataclass

from koubai.backend import device, registry
from koubai.backend.selection import backend_status

__all__ = ["Cell", "cells"]

_DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Cell:
    """
    One device and one dtype of it, or the reason why a backend has none.

    Attributes
    ----------
    device : str
        The string that selects the device.
    dtype : str
        The name of a floating-point dtype.
    reason : str
        Why the device does not work; empty when it does.
    """

    device: str
    dtype: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.device}-{self.dtype}"


def cells(backends: Iterable[str] | None = None) -> list[Cell]:
    """
    Give every device and dtype of some backends.

    Parameters
    ----------
    backends : iterable of str, optional
        Names of backends; by default all that are known.

    Returns
    -------
    list of Cell
        For each working device its float32 and float64, where it has them; for one
        that does not work both, with the reason.
    """
    return [
        Cell(status.device, dtype, status.reason)
        for name in (registry.names() if backends is None else backends)
        for status in backend_status(name)
        for dtype in (_dtypes(status.device) if status.works else _DTYPES)
    ]


def _dtypes(spec: str) -> list[str]:
    place = device(spec)
    with place.backend.float64():
        known = place.backend.dtypes(place.name)
    return [dtype for dtype in _DTYPES if dtype in known]
