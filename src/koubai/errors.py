"""Every error that a user of koubai can meet.

Each one derives from `KoubaiError` and from the built-in exception that a Python
programmer would expect in its place, so that ``except ValueError`` keeps working.
"""

__all__ = [
    "ArchitectureError",
    "BackendError",
    "BackendNotInstalledError",
    "CheckpointError",
    "CompileError",
    "DTypeError",
    "DatasetError",
    "DeviceNotAvailableError",
    "DeviceSpecError",
    "GradientError",
    "GraphError",
    "KoubaiError",
    "LabelError",
    "MixedArraysError",
    "NotAnArrayError",
    "NotForwardedError",
    "OptimizerError",
    "SavingError",
    "ShapeError",
    "TrainingError",
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


class GraphError(KoubaiError, RuntimeError):
    """A graph cannot be run backwards, or a Variable stands where only an array can."""


class SavingError(KoubaiError, OSError):
    """A file of weights cannot be written or read: no room, no permission, altered, not there."""


class CheckpointError(SavingError):
    """A checkpoint cannot be written, or none that is there can be read."""


class ArchitectureError(KoubaiError, ValueError):
    """A network that cannot be described, rebuilt or exported, or weights of another network."""


class OptimizerError(KoubaiError, ValueError):
    """Numbers that no optimizer or schedule can use, or the state of another optimizer."""


class TrainingError(KoubaiError, ArithmeticError):
    """A training went wrong: its loss is no finite number any more."""
