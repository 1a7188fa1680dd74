"""NumPy on the CPU: the backend that is always there."""

from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from koubai.arrays import NUMPY
from koubai.backend import Backend
from koubai.typing import Array, Namespace

__all__ = ["NumpyBackend"]


class NumpyBackend(Backend):
    """The host: one device, and arrays that are already where they should be."""

    name: ClassVar[str] = "numpy"
    library: ClassVar[str] = "numpy"
    install: ClassVar[str] = "pip install numpy"

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

    def read_only(self, array: Array) -> Array:
        """Give a view without the flag WRITEABLE."""
        view = np.asarray(array).view()
        view.flags.writeable = False
        return cast(Array, view)
