"""The contract: what a backend plug-in tells koubai about one array library."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from koubai.arrays import array_namespace, native_device
from koubai.errors import NotAnArrayError
from koubai.typing import Array, Namespace

__all__ = ["INTEGERS", "Backend", "PureFunction"]

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")

PureFunction: TypeAlias = Callable[..., tuple[dict[str, Any], Any]]
"""``(state, *inputs) -> (state, outputs)``, as `Backend.compile` tells."""


class Backend(ABC):
    """
    One array library and its devices; knows nothing of layers.

    A plug-in subclasses it, says `name`, `library`, `install` and `xp`, and overrides
    whatever differs in its library from the defaults, which follow the Array API
    standard for a library with one device. It is announced by an entry point of the
    group ``koubai.backends`` or by `koubai.register_backend`, and proved by
    ``pytest --pyargs koubai.testing.conformance --backend NAME``.

    Devices are named by strings: the part after the colon in ``torch:cuda:0``. The
    empty string names the one device of a library that has only one.
    """

    name: ClassVar[str]
    """The word that selects the backend; lower-case letters, digits and underscores."""

    library: ClassVar[str]
    """The module that the backend imports, such as ``torch``."""

    install: ClassVar[str]
    """The line that installs the library, such as ``pip install torch``."""

    remedy: ClassVar[str] = (
        'koubai.device("cpu") always works, and koubai.devices() tells what else does.'
    )
    """What to do when the library is there but a device does not work."""

    float64_switch: ClassVar[str] = ""
    """How float64 is switched on, in a library that has it switched off."""

    compiler: ClassVar[str] = "nothing: the step runs as it is written"
    """What `compile` compiles with, in a few words."""

    @property
    @abstractmethod
    def xp(self) -> Namespace:
        """The library's namespace; imports the library, and lets an ImportError pass."""

    def version(self) -> str:
        """Give the version of the library."""
        return str(getattr(importlib.import_module(self.library), "__version__", "unknown"))

    def devices(self) -> tuple[str, ...]:
        """Name the devices that the library reports, its default first."""
        return ("",)

    def gpus(self) -> tuple[str, ...]:
        """Name the devices that ``koubai.device("cuda")`` may choose."""
        return ()

    def resolve(self, device: str) -> str:
        """
        Turn what a user wrote after the colon into one of the names of `devices`.

        A name that is not there is given back as it is. The empty string is the
        default device.
        """
        return device or self.devices()[0]

    def explain(self, device: str) -> str:
        """Say why ``device`` is not among `devices`, and what would mend it."""
        known = [f"{self.name}:{name}" if name else self.name for name in self.devices()]
        if not known:
            return f"{self.name}: {self.library} is installed, but sees no device. {self.remedy}"
        wanted = f"{self.name}:{device}" if device else self.name
        return f"There is no device {wanted!r} here. Write {' or '.join(known)}."

    def native_device(self, device: str) -> Any:
        """Give the object that the library itself takes as ``device=``."""
        known = self._info().devices()
        return known[0] if not device else {str(native): native for native in known}[device]

    def device_of(self, array: Array) -> str:
        """Name the device on which an array of this library lies."""
        return "" if self.devices() == ("",) else str(native_device(array))

    def owns(self, array: object) -> bool:
        """Tell whether an array is of this library. Called only once it is imported."""
        try:
            return array_namespace(array=array) is self.xp
        except NotAnArrayError:
            return False

    def dtypes(self, device: str) -> tuple[str, ...]:
        """Name the real floating-point dtypes that work on a device."""
        del device
        return ("float32", "float64")

    def integers(self, device: str) -> tuple[str, ...]:
        """Name the integer dtypes that work on a device."""
        del device
        return INTEGERS

    def from_numpy(self, host: npt.NDArray[Any], device: str) -> Array:
        """Make a new array on a device with the values and dtype of a host array."""
        dtype = getattr(self.xp, host.dtype.name)
        return self.xp.asarray(host, dtype=dtype, device=self.native_device(device), copy=True)

    def to_numpy(self, array: Array) -> npt.NDArray[Any]:
        """Copy an array of this library to the host."""
        return np.array(array)

    def synchronize(self, device: str) -> None:
        """Wait until all the work handed to a device is done."""
        del device

    def scope(self, device: str) -> AbstractContextManager[object]:
        """Give a context for a library whose operations run on its current device: this one."""
        del device
        return nullcontext()

    def float64(self) -> AbstractContextManager[object]:
        """Give a context in which float64 works, for a library that switches it off."""
        return nullcontext()

    def compile(self, function: PureFunction, device: str) -> PureFunction:
        """
        Make a pure function of (state, inputs) faster; by default it stays as it is.

        Parameters
        ----------
        function : callable
            ``(state, *inputs) -> (state, outputs)``. The state is a dict of arrays and
            Python numbers by name, inputs are arrays, outputs are arrays in tuples, lists
            and dicts. It works on the arrays of any library, keeps none, and reads none.
        device : str
            The device on which all arrays lie.

        Returns
        -------
        callable
            The same function for arrays of the shapes and dtypes of its first call. It
            takes the numbers of the state anew at each call. It may write over the arrays
            of the state that it is handed, or use them up; inputs it only reads, and
            outputs are the caller's to keep.

        Raises
        ------
        CompileError
            At the first call, where the function does what cannot be compiled.
        """
        del device
        return function

    def compile_loop(self, function: PureFunction, device: str) -> PureFunction | None:
        """
        Make one function of many calls, where that gains something over calling many times.

        Parameters
        ----------
        function : callable
            As for `compile`; the state that it gives has the names, shapes and dtypes of
            the state that it takes, and it gives one array.
        device : str
            The device on which all arrays lie.

        Returns
        -------
        callable or None
            ``(state, *inputs) -> (state, outputs)`` whose inputs and outputs have an axis
            in front, of steps; by default None: a loop over what `compile` made is as good.
        """
        del function, device
        return None

    def own_copy(self, array: Array, device: str) -> Array:
        """
        Copy an array to where a compiled step will write over it again and again.

        Parameters
        ----------
        array : Array
            An array of this backend, on the device.
        device : str
            The device.

        Returns
        -------
        Array
            A copy that shares no memory; by default one as the library makes it.
        """
        with self.scope(device):
            return self.xp.asarray(array, device=self.native_device(device), copy=True)

    def read_only(self, array: Array) -> Array:
        """Give a view that refuses to be written to, where the library has such a thing."""
        return array

    def _info(self) -> Any:
        return cast(Any, self.xp).__array_namespace_info__()
