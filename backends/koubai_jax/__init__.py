"""JAX's arrays, on the CPU, GPUs and TPUs; its autograd is not used."""

from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, ClassVar, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from koubai.backend import Backend, PureFunction
from koubai.errors import MixedArraysError
from koubai.typing import Array, Namespace

__all__ = ["JaxBackend"]

_State: TypeAlias = dict[str, Any]


class JaxBackend(Backend):
    """JAX's devices of all platforms: ``cpu``, ``cpu:1``, ``gpu:0``, ``tpu:0``."""

    name: ClassVar[str] = "jax"
    library: ClassVar[str] = "jax"
    install: ClassVar[str] = 'pip install jax (with a GPU: pip install "jax[cuda13]")'

    float64_switch: ClassVar[str] = (
        "JAX has 64-bit dtypes switched off. To switch them on for the process, before any array "
        'is made: jax.config.update("jax_enable_x64", True), or JAX_ENABLE_X64=1.'
    )

    compiler: ClassVar[str] = "jax.jit"

    @property
    def xp(self) -> Namespace:
        """``jax.numpy``, which follows the standard itself."""
        import jax.numpy

        return cast(Namespace, jax.numpy)

    def devices(self) -> tuple[str, ...]:
        """Name JAX's devices, those of its default platform first, then the CPU's."""
        return tuple(self._natives())

    def gpus(self) -> tuple[str, ...]:
        """Name the GPUs."""
        return tuple(name for name in self.devices() if name.startswith("gpu"))

    def resolve(self, device: str) -> str:
        """Read ``gpu`` and ``cuda`` as the first GPU, and ``cpu:0`` as the CPU."""
        if not device:
            return self.devices()[0]
        platform, _, number = device.replace("cuda", "gpu").partition(":")
        name = f"{platform}:{number or 0}"
        return "cpu" if name == "cpu:0" else name

    def explain(self, device: str) -> str:
        """Say which platforms JAX sees, and how it comes to see a GPU."""
        text = super().explain(device)
        return f'{text} For an NVIDIA GPU: pip install "jax[cuda13]".' if "gpu" in device else text

    def native_device(self, device: str) -> Any:
        """Give a ``jax.Device``."""
        return self._natives()[device]

    def device_of(self, array: Array) -> str:
        """Name the device of an array that lies on one."""
        natives = cast(Any, array).devices()
        if len(natives) > 1:
            raise MixedArraysError(
                f"This jax.Array lies on {len(natives)} devices, and koubai works on one. "
                "jax.device_put(array, jax.devices()[0]) brings it to one."
            )
        return _name(*natives)

    def owns(self, array: object) -> bool:
        """Tell whether an array is JAX's, and not one that it is tracing."""
        import jax

        return isinstance(array, jax.Array) and not isinstance(array, jax.core.Tracer)

    def dtypes(self, device: str) -> tuple[str, ...]:
        """Float64 is there only where JAX's switch ``jax_enable_x64`` is on."""
        del device
        return ("float32", "float64", "float16") if _has_64_bits() else ("float32", "float16")

    def integers(self, device: str) -> tuple[str, ...]:
        """Those of 64 bits are there only where the same switch is on."""
        known = super().integers(device)
        return known if _has_64_bits() else tuple(name for name in known if "64" not in name)

    def from_numpy(self, host: npt.NDArray[Any], device: str) -> Array:
        """Copy a host array to a device."""
        import jax

        copied = np.array(host)  # JAX may use the host's memory as it is
        return cast(Array, jax.device_put(copied, self.native_device(device)))

    def to_numpy(self, array: Array) -> npt.NDArray[Any]:
        """Copy an array to the host."""
        return np.array(array)

    def synchronize(self, device: str) -> None:
        """Wait for a computation that is queued behind all others on the device."""
        import jax

        (jax.device_put(0.0, self.native_device(device)) + 0).block_until_ready()

    def scope(self, device: str) -> AbstractContextManager[object]:
        """Multiply float32 in float32: on GPUs of today JAX's default is TF32, with 10 bits."""
        import jax

        if device.startswith("cpu"):
            return nullcontext()
        return cast(AbstractContextManager[object], jax.default_matmul_precision("highest"))

    def compile(self, function: PureFunction, device: str) -> PureFunction:
        """Compile with ``jax.jit``; the arrays of the state are donated."""
        import jax

        from koubai.compile.record import flatten, unflatten

        forms: list[Any] = []

        def pure(arrays: _State, numbers: _State, *inputs: Array) -> tuple[_State, Any]:
            new, outputs = function({**arrays, **numbers}, *inputs)
            flat: list[Any] = []
            forms[:] = [flatten(outputs, flat)]  # JAX itself would sort the keys of a dict
            return {k: v for k, v in new.items() if v is not numbers.get(k)}, flat

        run = self._runner(jax.jit(pure, donate_argnums=0), device)

        def formed(state: _State, *inputs: Array) -> tuple[_State, Any]:
            new, flat = run(state, *inputs)
            return new, unflatten(forms[0], flat)

        return formed

    def compile_loop(self, function: PureFunction, device: str) -> PureFunction:
        """Compile the loop as well, with ``jax.lax.scan``."""
        import jax

        def once(state: _State, inputs: tuple[Array, ...]) -> tuple[_State, Any]:
            return function(dict(state), *inputs)

        def pure(arrays: _State, numbers: _State, *inputs: Array) -> tuple[_State, Any]:
            carried = {**arrays, **jax.tree.map(jax.numpy.asarray, numbers)}
            return cast(tuple[_State, Any], jax.lax.scan(once, carried, inputs))

        return self._runner(jax.jit(pure, donate_argnums=0), device)

    def _runner(self, jitted: Any, device: str) -> PureFunction:
        """Call what is compiled with arrays and numbers apart, and give numbers back as such."""
        import jax

        def run(state: _State, *inputs: Array) -> tuple[_State, Any]:
            numbers = {k: v for k, v in state.items() if isinstance(v, (int, float))}
            arrays = {k: v for k, v in state.items() if k not in numbers}
            try:
                with self.scope(device):
                    new, outputs = jitted(arrays, numbers, *inputs)
            except (
                jax.errors.ConcretizationTypeError,
                jax.errors.NonConcreteBooleanIndexError,
                jax.errors.TracerArrayConversionError,
                jax.errors.TracerIntegerConversionError,
            ) as error:
                raise _not_compiled(error) from error
            changed = {k: _as_before(numbers.get(k), v) for k, v in new.items()}
            return {**numbers, **changed}, outputs

        return run

    def float64(self) -> AbstractContextManager[object]:
        """Give a context in which float64 is switched on."""
        import jax

        return cast(AbstractContextManager[object], jax.enable_x64(True))  # noqa: FBT003

    def _natives(self) -> dict[str, Any]:
        import jax

        found = list(jax.devices())
        with suppress(RuntimeError):  # JAX_PLATFORMS may leave the CPU out
            found += jax.devices("cpu")
        return {_name(native): native for native in found}


def _as_before(number: Any, value: Any) -> Any:
    return value if number is None else value.item()


def _not_compiled(error: Exception) -> Exception:
    """Say the same as for a recorded step: which line, and what to write."""
    from koubai.compile.blame import cannot

    what = str(error).partition("\n")[0].rstrip(".")
    return cannot(
        f"needs a value while JAX has none yet ({what})",
        "A compiled step does the same for all values. Keep values in arrays, choose with "
        "xp.where(condition, a, b), and keep shapes that do not depend on the data.",
        error.__traceback__,
    )


def _has_64_bits() -> bool:
    import jax

    return bool(cast(Any, jax.config).jax_enable_x64)


def _name(native: Any) -> str:
    return "cpu" if (native.platform, native.id) == ("cpu", 0) else f"{native.platform}:{native.id}"
