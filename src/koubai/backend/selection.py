"""Selecting a device by a string: the grammar, the precedence, and what works here."""

import os
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from koubai.arrays import describe
from koubai.backend.contract import Backend
from koubai.backend.place import Device, active_device
from koubai.backend.plugins import BUILT_IN, registry
from koubai.backend.proof import failure, prove, prove_gpu
from koubai.errors import (
    BackendNotInstalledError,
    DeviceNotAvailableError,
    DeviceSpecError,
    KoubaiError,
    NotAnArrayError,
)
from koubai.typing import Array

__all__ = [
    "DeviceStatus",
    "asarray",
    "device",
    "device_of",
    "devices",
    "get_backend",
    "get_default_device",
    "register_backend",
    "set_default_device",
    "to_numpy",
]

_GPU_ORDER = ("cupy", "torch", "jax")
_default: Device | None = None


@dataclass(frozen=True)
class DeviceStatus:
    """
    What is known of one device, or of a backend that has none to show.

    Attributes
    ----------
    device : str
        The string that selects it, such as ``torch:cpu``.
    state : str
        ``works``, ``not installed``, ``no usable device`` or ``broken``.
    version : str
        The version of the array library; empty when it is not there.
    reason : str
        Why it does not work, and the line that mends it; empty when it works.
    """

    device: str
    state: str
    version: str = ""
    reason: str = ""

    @property
    def works(self) -> bool:
        """Whether a matrix product ran on the device."""
        return self.state == "works"


class DeviceTable(list[DeviceStatus]):
    """A list of `DeviceStatus` that prints as a table."""

    def __repr__(self) -> str:
        width = max((len(status.device) for status in self), default=0)
        return "\n".join(
            f"{status.device:<{width}}  {status.state:<16}  {status.reason or status.version}"
            for status in self
        )


def device(spec: str | Device) -> Device:
    """
    Select a device by a string, after proving that it works.

    Parameters
    ----------
    spec
        ``backend`` or ``backend:device``, such as ``numpy``, ``cupy:1``,
        ``torch:cuda:0``, ``jax:cpu``. Short forms: ``cpu`` is NumPy; ``cuda``,
        ``cuda:1`` and ``gpu`` are the first backend with a working GPU (cupy, torch,
        jax, then plug-ins by name); ``auto`` is ``gpu`` where one works, else ``cpu``.
        A Device is given back as it is.

    Returns
    -------
    Device
        The device; usable in ``with``.

    Raises
    ------
    DeviceSpecError
        If the string names no device.
    UnknownBackendError, BackendNotInstalledError, BackendError
        If there is no such backend, or its library is missing or broken.
    DeviceNotAvailableError
        If the library is there but the device is not, or does not work.

    Examples
    --------
    >>> import koubai
    >>> with koubai.device("cpu"):
    ...     x = koubai.asarray([[1.0, -0.5]])
    """
    if isinstance(spec, Device):
        return spec
    text = _read(spec)
    name, _, rest = text.partition(":")
    if name in {"cuda", "gpu"}:
        return _gpu(text, rest)
    if name in {"auto", "cpu"} and rest:
        raise DeviceSpecError(f"{spec!r}: {name!r} takes no number. Write {name!r}.")
    if name == "auto":
        try:
            return _gpu(text, "")
        except DeviceNotAvailableError:
            name = "cpu"
    return prove(registry.get("numpy" if name == "cpu" else name), rest)


def get_default_device() -> Device:
    """
    Give the device on which arrays are created when none is named.

    In this order: the innermost ``with koubai.device(...)``, then
    `set_default_device`, then the environment variable ``KOUBAI_DEVICE``, then ``cpu``.

    Returns
    -------
    Device
        The default device.
    """
    if selected := active_device() or _default:
        return selected
    spec = os.environ.get("KOUBAI_DEVICE", "").strip()
    if not spec:
        return device("cpu")
    try:
        return device(spec)
    except KoubaiError as error:
        error.add_note(f"The device came from the environment variable KOUBAI_DEVICE={spec!r}.")
        raise


def set_default_device(spec: str | Device | None) -> None:
    """
    Set the device on which arrays are created, for the whole process.

    Parameters
    ----------
    spec
        A device as in `koubai.device`; None takes the setting back.
    """
    global _default  # noqa: PLW0603  (a ContextVar loses its value between notebook cells)
    _default = None if spec is None else device(spec)


def devices() -> DeviceTable:
    """
    Tell of every device: which work here, and why each other one does not.

    Every backend is loaded and a small matrix product runs on each of its devices,
    so the first call takes as long as importing the installed array libraries.

    Returns
    -------
    DeviceTable
        A list of `DeviceStatus` that prints as a table.
    """
    table = DeviceTable(each for name in registry.names() for each in backend_status(name))
    broken = (DeviceStatus(p.name, "broken", "", p.reason) for p in registry.problems())
    table += [status for status in broken if status not in table]
    return table


def backend_status(name: str) -> list[DeviceStatus]:
    """Tell of the devices of one backend; never raises."""
    try:
        backend = registry.get(name)
    except BackendNotInstalledError as error:
        return [DeviceStatus(name, "not installed", "", str(error))]
    except KoubaiError as error:
        return [DeviceStatus(name, "broken", "", str(error))]
    version = ""
    try:
        version = backend.version()
        names = backend.devices() or ("",)
    except Exception as error:  # noqa: BLE001  (whatever a driver or a plug-in may raise)
        return [DeviceStatus(name, "no usable device", version, failure(backend, "", error))]
    return [_device_status(backend, version, each) for each in names]


def asarray(
    obj: object,
    *,
    device: str | Device | None = None,
    dtype: str | None = None,
    copy: bool = False,
) -> Array:
    """
    Make an array on a device, or bring one there.

    Parameters
    ----------
    obj
        Python numbers, nested lists of them, or an array of any backend.
    device
        A device as in `koubai.device`. By default Python numbers and NumPy arrays go
        to the default device, and an array of another library stays where it is.
    dtype
        The name of a dtype. By default an array keeps its own, and Python floats
        become float32. Only int64 becomes int32, and uint64 uint32, on a device without
        them, if every value fits.
    copy
        True for a copy in any case; by default only where one is needed. An array
        that comes from another library is always copied.

    Returns
    -------
    Array
        An array of the device's library.

    Raises
    ------
    NotAnArrayError
        If ``obj`` holds something else than numbers.
    DTypeError
        If the device does not have the dtype.

    Examples
    --------
    >>> import koubai
    >>> koubai.asarray([[1.0, 2.0]], device="cpu")
    array([[1., 2.]], dtype=float32)
    """
    if device is not None:
        place = _select(device)
    else:
        home = device_of(obj)
        place = get_default_device() if home is None or home.backend.name == "numpy" else home
    return place.asarray(obj, dtype=dtype, copy=copy)


def to_numpy(array: Array) -> npt.NDArray[Any]:
    """
    Bring an array to the host as a NumPy array: the only way back, always explicit.

    Parameters
    ----------
    array
        An array of any backend.

    Returns
    -------
    numpy.ndarray
        The values, with the same dtype. A NumPy array is given back as it is; any
        other is copied.

    Raises
    ------
    NotAnArrayError
        If it is no array of a backend.
    """
    owned = registry.owned(array)
    if owned is None:
        raise NotAnArrayError(
            f"to_numpy: {describe(array)} is no array of a known backend. "
            "koubai.asarray(...) makes one of numbers; `python -m koubai` lists the backends."
        )
    backend, array = owned
    return backend.to_numpy(array)


def device_of(array: object) -> Device | None:
    """Find the device on which an array lies; None if it belongs to no backend."""
    owned = registry.owned(array)
    if owned is None:
        return None
    backend, known = owned
    return Device(backend, backend.device_of(known))


def get_backend(name: str) -> Backend:
    """
    Load a backend by name.

    Parameters
    ----------
    name
        The name of the backend, without a device: ``numpy``, ``cupy``, ``torch``, ...

    Returns
    -------
    Backend
        The backend, its library imported. Whether it has a working device is not
        looked at; `koubai.device` does that.

    Raises
    ------
    UnknownBackendError, BackendNotInstalledError, BackendError
        If there is none of that name, or its library is missing or broken.
    """
    return registry.get(name)


def register_backend(backend: type[Backend]) -> type[Backend]:
    """
    Add a backend class by hand, as in a notebook; usable as a decorator.

    Parameters
    ----------
    backend
        A subclass of `koubai.backend.Backend`. One that was registered before under
        the same name gives way, so that a notebook cell can be run again.

    Returns
    -------
    type[Backend]
        The class itself.

    Raises
    ------
    BackendError
        If it is no backend class, its name is no name, or an installed backend has it.
    """
    registry.register(backend)
    return backend


_select = device  # `asarray` has a parameter of that name


def _read(spec: object) -> str:
    if isinstance(spec, str) and spec.strip():
        return spec.strip()
    raise DeviceSpecError(
        f"{spec!r} names no device. A device is a string such as 'cpu', 'cuda', 'cupy:0' or "
        "'torch:cuda:0'; koubai.devices() lists those that work here."
    )


def _gpu(spec: str, number: str) -> Device:
    if number and not number.isdecimal():
        raise DeviceSpecError(f"{spec!r}: what follows the colon is a number, as in 'cuda:1'.")
    reasons = []
    for name in _gpu_backends():
        try:
            return prove_gpu(registry.get(name), int(number or 0))
        except KoubaiError as error:
            reasons.append(f"\n  {error}")
    raise DeviceNotAvailableError(
        f"{spec!r}: no backend has such a working GPU here.{''.join(reasons)}\n"
        "Without a GPU, koubai.device('cpu') works; 'auto' takes a GPU only where there is one."
    )


def _gpu_backends() -> list[str]:
    names = registry.names()
    plug_ins = [name for name in names if name not in BUILT_IN]
    return [name for name in _GPU_ORDER if name in names] + plug_ins


def _device_status(backend: Backend, version: str, name: str) -> DeviceStatus:
    spec = str(Device(backend, name))
    try:
        prove(backend, name)
    except KoubaiError as error:
        return DeviceStatus(spec, "no usable device", version, str(error))
    return DeviceStatus(spec, "works", version)
