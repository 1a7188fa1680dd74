"""NumPy on the CPU: the backend that is always there."""

from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from koubai.arrays import NUMPY
from koubai.backend import Backend, PureFunction
from koubai.typing import Array, Namespace

__all__ = ["NumpyBackend"]

_LINE = 64  # bytes of a cache line


class NumpyBackend(Backend):
    """The host: one device, and arrays that are already where they should be."""

    name: ClassVar[str] = "numpy"
    library: ClassVar[str] = "numpy"
    install: ClassVar[str] = "pip install numpy"

    compiler: ClassVar[str] = "a plan of NumPy calls into buffers"

    @property
    def xp(self) -> Namespace:
        """NumPy itself, which follows the standard."""
        return NUMPY

    def native_device(self, device: str) -> str:
        """NumPy's only device is called ``cpu``."""
        del device
        return "cpu"

    def owns(self, array: object) -> bool:
        """Tell whether it is NumPy's: an array of numbers, or a scalar as reductions give."""
        return isinstance(array, (np.ndarray, np.generic)) and array.dtype.kind in "biufc"

    def dtypes(self, device: str) -> tuple[str, ...]:
        """NumPy has half precision too."""
        del device
        return ("float32", "float64", "float16")

    def from_numpy(self, host: npt.NDArray[Any], device: str) -> Array:
        """Give the array itself: it is on the host already."""
        del device
        return cast(Array, host)

    def to_numpy(self, array: Array) -> npt.NDArray[Any]:
        """Give the array itself."""
        return np.asarray(array)

    def own_copy(self, array: Array, device: str) -> Array:
        """Copy an array to the beginning of a cache line: BLAS computes faster with it there."""
        del device
        host = np.asarray(array)
        room = np.empty(host.nbytes + _LINE, np.uint8)
        start = -room.ctypes.data % _LINE
        copy = room[start : start + host.nbytes].view(host.dtype).reshape(host.shape)
        np.copyto(copy, host)
        return cast(Array, copy)

    def compile(self, function: PureFunction, device: str) -> PureFunction:
        """Record the function at its first call, and replay it from then on."""
        del device
        from koubai.compile.recorded import RecordedFunction

        return RecordedFunction(function)

    def read_only(self, array: Array) -> Array:
        """Give a view without the flag WRITEABLE."""
        view = np.asarray(array).view()
        view.flags.writeable = False
        return cast(Array, view)
