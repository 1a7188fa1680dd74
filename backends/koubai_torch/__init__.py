"""PyTorch's tensors, on the CPU and on GPUs; its autograd is not used."""

from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from koubai.arrays import dtype_name
from koubai.backend import Backend, PureFunction
from koubai.errors import DTypeError
from koubai.typing import Array, Namespace

__all__ = ["TorchBackend", "copied"]


class TorchBackend(Backend):
    """PyTorch with the device names of PyTorch: ``cpu``, ``cuda:0``, ``mps``."""

    name: ClassVar[str] = "torch"
    library: ClassVar[str] = "torch"
    install: ClassVar[str] = "pip install torch"

    compiler: ClassVar[str] = "torch.inference_mode, or on a GPU as a CUDA graph"

    @property
    def xp(self) -> Namespace:
        """The namespace of array-api-compat for PyTorch."""
        import array_api_compat.torch

        return cast(Namespace, array_api_compat.torch)

    def devices(self) -> tuple[str, ...]:
        """Name the CPU and the GPUs that PyTorch finds."""
        import torch

        cuda = tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))
        mps = ("mps",) if torch.backends.mps.is_available() else ()
        return ("cpu", *cuda, *mps)

    def gpus(self) -> tuple[str, ...]:
        """Name the CUDA devices."""
        return tuple(name for name in self.devices() if name.startswith("cuda"))

    def resolve(self, device: str) -> str:
        """Read ``cuda`` as the first GPU and ``cpu:0`` as the CPU."""
        return {"": "cpu", "cpu:0": "cpu", "cuda": "cuda:0", "mps:0": "mps"}.get(device, device)

    def explain(self, device: str) -> str:
        """Tell a build without CUDA from a machine without a GPU."""
        import torch

        if device.startswith("cuda") and torch.version.cuda is None:
            return (
                f"torch:{device}: PyTorch {torch.__version__} is a build without CUDA. Install "
                "one with it (https://pytorch.org/get-started/locally/), or use torch:cpu."
            )
        if device.startswith("cuda") and not torch.cuda.is_available():
            return (
                f"torch:{device}: PyTorch {torch.__version__} is built for CUDA "
                f"{torch.version.cuda}, but finds no working GPU. See whether nvidia-smi finds "
                "one, or use torch:cpu."
            )
        return super().explain(device)

    def native_device(self, device: str) -> Any:
        """Give a ``torch.device``."""
        import torch

        return torch.device(device)

    def device_of(self, array: Array) -> str:
        """Name the device of a tensor."""
        return self.resolve(super().device_of(array))

    def owns(self, array: object) -> bool:
        """Tell whether an array is a tensor."""
        import torch

        return isinstance(array, torch.Tensor)

    def dtypes(self, device: str) -> tuple[str, ...]:
        """Apple's GPUs have no float64."""
        half = ("float16",)
        return ("float32", *half) if device == "mps" else ("float32", "float64", *half)

    def from_numpy(self, host: npt.NDArray[Any], device: str) -> Array:
        """Copy a host array into a new tensor."""
        import torch

        # torch.tensor refuses negative strides; this copy has none.
        return cast(Array, torch.from_numpy(np.array(host, order="C")).to(device))

    def to_numpy(self, array: Array) -> npt.NDArray[Any]:
        """Copy a tensor to the host."""
        try:
            return np.array(cast(Any, array).numpy(force=True))
        except TypeError as error:
            raise DTypeError(
                f"NumPy has no {dtype_name(array)}. Change the dtype first: "
                'koubai.asarray(x, dtype="float32").'
            ) from error

    def compile(self, function: PureFunction, device: str) -> PureFunction:
        """
        Replay what the function does, without a record for autograd.

        On the CPU as a plan of NumPy's in the same memory, on a GPU as a CUDA graph; what
        can be neither runs as it is, in inference mode.
        """
        plain = _without_autograd(function)
        if device.startswith("cuda"):
            from koubai_torch.graphs import Captured

            return Captured(function, plain, device)
        if device == "cpu":
            from koubai_torch.shared import Shared

            return Shared(function, plain)
        return plain

    def compile_loop(self, function: PureFunction, device: str) -> PureFunction | None:
        """Unroll the steps into CUDA graphs; a CPU gains nothing by a loop of its own."""
        if not device.startswith("cuda"):
            return None
        from koubai_torch.graphs import unrolled

        return unrolled(function, _without_autograd(function), device)

    def synchronize(self, device: str) -> None:
        """Wait for the GPU; the CPU has nothing to wait for."""
        import torch

        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        elif device == "mps":
            torch.mps.synchronize()


def _without_autograd(function: PureFunction) -> PureFunction:
    """Run a function in inference mode."""
    import torch

    def run(state: dict[str, Any], *inputs: Array) -> tuple[dict[str, Any], Any]:
        with torch.inference_mode():
            new, outputs = function(state, *inputs)
        # Tensors made in that mode cannot be written outside of it: the state and what the
        # caller gets are ordinary ones.
        told = copied(outputs)
        made = {name: _kept(value, state.get(name)) for name, value in new.items()}
        return {name: _ordinary(value, state.get(name)) for name, value in made.items()}, told

    return run


def copied(outputs: Any) -> Any:
    """Copy the tensors in tuples, lists and dicts; what comes back is ordinary."""
    from koubai.compile.record import flatten, unflatten

    flat: list[Any] = []
    form = flatten(outputs, flat)
    return unflatten(form, [v.clone() if hasattr(v, "clone") else v for v in flat])


def _kept(value: Any, old: Any) -> Any:
    """Copy what may look at another's old value, before that is written over."""
    import torch

    alone = value is old or not isinstance(value, torch.Tensor) or value.is_inference()
    return value if alone else value.clone()


def _ordinary(value: Any, old: Any = None) -> Any:
    """Give an ordinary tensor with these values: the old one, where it has their form."""
    import torch

    if not isinstance(value, torch.Tensor) or not value.is_inference():
        return value
    if not isinstance(old, torch.Tensor) or old.is_inference():
        return value.clone()
    fits = (old.shape, old.dtype) == (value.shape, value.dtype)
    return old.copy_(value) if fits else value.clone()
