"""CuPy on NVIDIA GPUs."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from koubai.backend import Backend, PureFunction
from koubai.typing import Array, Namespace

__all__ = ["CupyBackend"]


class CupyBackend(Backend):
    """The GPUs that the CUDA driver shows, named by their numbers."""

    name: ClassVar[str] = "cupy"
    library: ClassVar[str] = "cupy"
    install: ClassVar[str] = (
        "pip install cupy-cuda13x (CUDA 13) or pip install cupy-cuda12x (CUDA 12)"
    )
    remedy: ClassVar[str] = (
        "CuPy needs an NVIDIA GPU and its driver: see whether nvidia-smi finds both, and "
        "whether CuPy's package is of the driver's CUDA version. Without a GPU, use "
        'koubai.device("cpu").'
    )

    compiler: ClassVar[str] = "a plan of CuPy calls into buffers"

    @property
    def xp(self) -> Namespace:
        """The namespace of array-api-compat for CuPy, which has none of its own."""
        import array_api_compat.cupy

        return cast(Namespace, array_api_compat.cupy)

    def devices(self) -> tuple[str, ...]:
        """Name the GPUs ``0``, ``1``, ..."""
        import cupy

        return tuple(str(number) for number in range(cupy.cuda.runtime.getDeviceCount()))

    def gpus(self) -> tuple[str, ...]:
        """Every device is a GPU."""
        return self.devices()

    def native_device(self, device: str) -> Any:
        """Give CuPy's own Device; creation functions run within it."""
        import cupy

        return cupy.cuda.Device(int(device))

    def device_of(self, array: Array) -> str:
        """Give the number of the GPU on which an array lies."""
        return str(array.device.id)  # type: ignore[attr-defined]

    def owns(self, array: object) -> bool:
        """Tell whether an array is CuPy's."""
        import cupy

        return isinstance(array, cupy.ndarray)

    def dtypes(self, device: str) -> tuple[str, ...]:
        """CUDA has half precision too."""
        del device
        return ("float32", "float64", "float16")

    def from_numpy(self, host: npt.NDArray[Any], device: str) -> Array:
        """Copy a host array to a GPU."""
        import cupy

        with self.native_device(device):
            return cast(Array, cupy.asarray(host))

    def to_numpy(self, array: Array) -> npt.NDArray[Any]:
        """Copy an array to the host."""
        import cupy

        return np.asarray(cupy.asnumpy(array))

    def compile(self, function: PureFunction, device: str) -> PureFunction:
        """Record the function at its first call, and replay it into a memory pool of its own."""
        import cupy

        from koubai.compile.recorded import RecordedFunction

        pool = cupy.cuda.MemoryPool()

        @contextmanager
        def at_home() -> Iterator[None]:
            with self.native_device(device), cupy.cuda.using_allocator(pool.malloc):
                yield

        return RecordedFunction(function, cupy, self.xp, at_home)

    def scope(self, device: str) -> AbstractContextManager[object]:
        """Make a GPU the current one, on which CuPy computes."""
        return cast(AbstractContextManager[object], self.native_device(device))

    def synchronize(self, device: str) -> None:
        """Wait for the GPU."""
        self.native_device(device).synchronize()
