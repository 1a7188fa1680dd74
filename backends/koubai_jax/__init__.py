"""JAX's arrays, on the CPU, GPUs and TPUs; its autograd is not used."""

from contextlib import AbstractContextManager
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from koubai.backend import Backend
from koubai.typing import Array, Namespace

__all__ = ["JaxBackend"]


class JaxBackend(Backend):
    """JAX's devices of all platforms: ``cpu``, ``cpu:1``, ``gpu:0``, ``tpu:0``."""

    name: ClassVar[str] = "jax"
    library: ClassVar[str] = "jax"
    install: ClassVar[str] = 'pip install "koubai[jax]" (with a GPU: pip install "jax[cuda13]")'

    float64_switch: ClassVar[str] = (
        "JAX has float64 switched off. To switch it on for the whole process, before any array "
        'is made: jax.config.update("jax_enable_x64", True), or JAX_ENABLE_X64=1.'
    )

    @property
    def xp(self) -> Namespace:
        """``jax.numpy``, which follows the standard itself."""
        import jax.numpy  # noqa: PLC0415

        return cast(Namespace, jax.numpy)

    def devices(self) -> tuple[str, ...]:
        """Name JAX's devices, those of its default platform first, then the CPU's."""
        return tuple(self._natives())

    def gpus(self) -> tuple[str, ...]:
        """Name the GPUs."""
        return tuple(name for name in self.devices() if name.startswith("gpu"))

    def resolve(self, device: str) -> str:
        """Read ``gpu`` and ``cuda`` as the first GPU, and ``cpu:0`` as the CPU."""
        platform, _, number = device.replace("cuda", "gpu").partition(":")
        if not platform:
            return self.devices()[0]
        return platform if platform == "cpu" and number in {"", "0"} else f"{platform}:{number or 0}"

    def explain(self, device: str) -> str:
        """Say which platforms JAX sees, and how it comes to see a GPU."""
        text = super().explain(device)
        return f'{text} For an NVIDIA GPU: pip install "jax[cuda13]".' if "gpu" in device else text

    def native_device(self, device: str) -> Any:
        """Give a ``jax.Device``."""
        return self._natives()[device]

    def device_of(self, array: Array) -> str:
        """Name the device of an array that lies on one."""
        (native,) = cast(Any, array).devices()
        return _name(native)

    def owns(self, array: object) -> bool:
        """Tell whether an array is JAX's, and not one that it is tracing."""
        import jax  # noqa: PLC0415

        return isinstance(array, jax.Array) and not isinstance(array, jax.core.Tracer)

    def dtypes(self, device: str) -> tuple[str, ...]:
        """Float64 is there only where JAX's switch ``jax_enable_x64`` is on."""
        import jax  # noqa: PLC0415

        del device
        return ("float32", *(("float64",) if jax.config.jax_enable_x64 else ()), "float16")

    def from_numpy(self, host: npt.NDArray[Any], device: str) -> Array:
        """Copy a host array to a device."""
        import jax  # noqa: PLC0415

        dtype = jax.dtypes.canonicalize_dtype(host.dtype)
        copied = np.array(host, dtype=dtype)  # JAX may use the host's memory as it is
        return cast(Array, jax.device_put(copied, self.native_device(device)))

    def to_numpy(self, array: Array) -> npt.NDArray[Any]:
        """Copy an array to the host."""
        return np.array(array)

    def synchronize(self, device: str) -> None:
        """Wait for a computation that is queued behind all others on the device."""
        import jax  # noqa: PLC0415

        (jax.device_put(0.0, self.native_device(device)) + 0).block_until_ready()

    def float64(self) -> AbstractContextManager[object]:
        """Give a context in which float64 is switched on."""
        import jax  # noqa: PLC0415

        return cast(AbstractContextManager[object], jax.enable_x64(True))  # noqa: FBT003

    def _natives(self) -> dict[str, Any]:
        import jax  # noqa: PLC0415

        found = [*jax.devices(), *jax.devices("cpu")]
        return {_name(native): native for native in found}


def _name(native: Any) -> str:
    return "cpu" if (native.platform, native.id) == ("cpu", 0) else f"{native.platform}:{native.id}"
