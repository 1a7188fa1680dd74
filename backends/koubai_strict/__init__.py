"""array-api-strict: NumPy behind the standard's letter, with devices to test on."""

from functools import cache
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from koubai.backend import Backend
from koubai.typing import Array, Namespace

__all__ = ["StrictBackend"]


class StrictBackend(Backend):
    """Devices that refuse to be mixed: the laptop's stand-in for GPUs."""

    name: ClassVar[str] = "array_api_strict"
    library: ClassVar[str] = "array_api_strict"
    install: ClassVar[str] = 'pip install "array-api-strict>=2.6.1"'

    @property
    def xp(self) -> Namespace:
        """``array_api_strict`` itself."""
        import array_api_strict

        _leave_operators_to_others()
        return cast(Namespace, array_api_strict)

    def devices(self) -> tuple[str, ...]:
        """Name the devices: ``CPU_DEVICE``, ``device1``, ``device2``, ``no_float64``, ..."""
        return tuple(_name(native) for native in self._info().devices())

    def native_device(self, device: str) -> Any:
        """Give the Device object of a name."""
        return cast(Any, self.xp).Device(device)

    def device_of(self, array: Array) -> str:
        """Name the device of an array."""
        return _name(cast(Any, array).device)

    def dtypes(self, device: str) -> tuple[str, ...]:
        """Two of the devices have no float64."""
        native = self.native_device(device)
        return tuple(self._info().dtypes(device=native, kind="real floating"))

    def integers(self, device: str) -> tuple[str, ...]:
        """One of the devices has none of 64 bits."""
        native = self.native_device(device)
        return tuple(self._info().dtypes(device=native, kind="integral"))

    def to_numpy(self, array: Array) -> npt.NDArray[Any]:
        """Copy an array to the host; only the CPU device shows its values."""
        native = cast(Any, array)
        return np.array(native.to_device(self.native_device("CPU_DEVICE")))


@cache
def _leave_operators_to_others() -> None:
    """
    Let an operand decide whose class says that it takes over, as Python's operators do.

    array-api-strict raises where Python asks for NotImplemented, so that no
    ``__radd__`` is ever reached.
    """
    from array_api_strict._array_object import Array as Kind

    refuse = Kind._check_type_device  # noqa: SLF001  (the one place where it can be told)

    def check(self: Any, other: Any) -> None:
        if not hasattr(type(other), "takes_over"):
            refuse(self, other)

    setattr(Kind, "_check_type_device", check)  # noqa: B010


def _name(native: object) -> str:
    return str(native).partition("'")[2].rstrip("')")
