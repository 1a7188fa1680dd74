"""Every error that a user of koubai can meet.

Each one derives from `KoubaiError` and from the built-in exception that a Python
programmer would expect in its place, so that ``except ValueError`` keeps working.
"""

__all__ = [
    "BackendError",
    "BackendNotInstalledError",
    "CompileError",
    "DTypeError",
    "DatasetError",
    "DeviceNotAvailableError",
    "DeviceSpecError",
    "GradientError",
    "KoubaiError",
    "LabelError",
    "MixedArraysError",
    "NotAnArrayError",
    "NotForwardedError",
    "ShapeError",
    "UnknownBackendError",
]


class KoubaiError(Exception):
    """The base of all errors of koubai."""


class BackendError(KoubaiError, RuntimeError):
    """A backend plug-in cannot be loaded or registered."""


class UnknownBackendError(KoubaiError, ValueError):
    """No backend has the name that was asked for."""


class BackendNotInstalledError(KoubaiError, ImportError):
    """The array library behind a backend is not installed."""


class DeviceSpecError(KoubaiError, ValueError):
    """A device string that names no device of any backend."""


class DeviceNotAvailableError(KoubaiError, RuntimeError):
    """The array library is installed, but the device is not there or does not work."""


class NotAnArrayError(KoubaiError, TypeError):
    """Something that is no array, or an array of a library that no backend knows."""


class MixedArraysError(KoubaiError, TypeError):
    """Arrays of different libraries or devices met in one operation."""


class DTypeError(KoubaiError, TypeError):
    """An array has a dtype that the operation cannot use, or that its device lacks."""


class ShapeError(KoubaiError, ValueError):
    """Shapes that do not fit together, or an empty batch."""


class LabelError(KoubaiError, ValueError):
    """Labels out of range, labels that are NaN, or targets that are not finite."""


class NotForwardedError(KoubaiError, AttributeError):
    """Something that only ``forward`` sets was needed before ``forward`` ran."""


class GradientError(KoubaiError, AssertionError):
    """A gradient check failed; the message is the report."""


class DatasetError(KoubaiError, OSError):
    """A data set is missing, truncated or altered, or cannot be fetched or stored."""


class CompileError(KoubaiError, TypeError):
    """Something that cannot be recorded once for all values: a read on the host, a branch."""
