"""Device: one place where arrays can be made, and the default among them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from koubai.arrays import describe, dtype_name
from koubai.backend.contract import INTEGERS, Backend
from koubai.backend.plugins import registry
from koubai.errors import DTypeError, NotAnArrayError
from koubai.typing import Array, Namespace

__all__ = ["Device", "active_device"]

_DTYPES = ("float32", "float64", "float16", *INTEGERS, "bool", "complex64", "complex128")
_INSTEAD = {
    "float64": "float32",
    "complex128": "complex64",
    "int64": "int32",
    "uint64": "uint32",
}
_FROM_PYTHON = {"float64": "float32", "complex128": "complex64"}

_Entered: TypeAlias = "tuple[Device, AbstractContextManager[object]]"
_active: ContextVar[tuple[_Entered, ...]] = ContextVar("koubai_device", default=())


def active_device() -> "Device | None":
    """Give the device of the innermost ``with koubai.device(...)``, if there is one."""
    stack = _active.get()
    return stack[-1][0] if stack else None


@dataclass(frozen=True)
class Device:
    """
    One device of one backend, proved to work; made by `koubai.device`.

    In a ``with`` statement it is the default for creating arrays, and for CuPy, which
    computes on a current GPU, it is that GPU.

    Attributes
    ----------
    backend : Backend
        The backend to which the device belongs.
    name : str
        The device within the backend, such as ``cuda:0``; empty where there is only one.

    Examples
    --------
    >>> import koubai
    >>> d = koubai.device("numpy")
    >>> d.asarray([1, 2, 3], dtype="float32")
    array([1., 2., 3.], dtype=float32)
    >>> str(d)
    'numpy'
    """

    backend: Backend
    name: str

    def __str__(self) -> str:
        return f"{self.backend.name}:{self.name}" if self.name else self.backend.name

    def __repr__(self) -> str:
        return f"koubai.device({str(self)!r})"

    def __enter__(self) -> Self:
        scope = self.backend.scope(self.name)
        scope.__enter__()
        _active.set((*_active.get(), (self, scope)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Not simply the last: a generator may leave its block while another is open.
        stack = _active.get()
        places = [place for place, _ in stack]
        if self in places:
            last = len(places) - 1 - places[::-1].index(self)
            _active.set((*stack[:last], *stack[last + 1 :]))
            stack[last][1].__exit__(kind, error, trace)

    def __reduce__(self) -> tuple[Callable[[str, str], "Device"], tuple[str, str]]:
        return _restore, (self.backend.name, self.name)

    @property
    def xp(self) -> Namespace:
        """The namespace of the backend."""
        return self.backend.xp

    def synchronize(self) -> None:
        """Wait until all the work handed to the device is done."""
        self.backend.synchronize(self.name)

    def asarray(self, obj: object, *, dtype: str | None = None, copy: bool = False) -> Array:
        """
        Bring an array, a number or nested lists of numbers to this device.

        Parameters
        ----------
        obj
            An array of any backend, or Python numbers.
        dtype
            The name of a dtype, such as ``"float32"``. By default an array keeps its
            own, and Python floats become float32. Only int64 becomes int32, and uint64
            uint32, on a device without them, if every value fits.
        copy
            True for a copy in any case; by default only where one is needed. An array
            that comes from another library is always copied.

        Returns
        -------
        Array
            An array of this device's library, on this device.

        Raises
        ------
        NotAnArrayError
            If ``obj`` holds something else than numbers, or belongs to no backend.
        DTypeError
            If the device does not have the dtype.
        """
        with self.backend.scope(self.name):
            return self._brought(obj, dtype, copy=copy)

    def _brought(self, obj: object, dtype: str | None, *, copy: bool) -> Array:
        owned = registry.owned(obj)
        if owned is None:
            host = _numbers(obj)
            usual = _FROM_PYTHON.get(host.dtype.name) or self._fitting(host)
        else:
            backend, array = owned
            on_host = isinstance(array, (np.ndarray, np.generic))
            if backend is self.backend and not on_host and backend.device_of(array) == self.name:
                return self._keep(array, dtype, copy=copy)
            host = backend.to_numpy(array)
            usual = self._fitting(host)
        wanted = self._require(usual if dtype is None else dtype)
        return self.backend.from_numpy(host.astype(wanted, copy=copy), self.name)

    def _keep(self, array: Array, dtype: str | None, *, copy: bool) -> Array:
        if dtype is not None and self._require(dtype) != dtype_name(array):
            return self.xp.astype(array, getattr(self.xp, dtype))
        if not copy:
            return array
        return self.xp.asarray(array, device=self.backend.native_device(self.name), copy=True)

    def _fitting(self, host: npt.NDArray[Any]) -> str:
        name = host.dtype.name
        narrow = name.replace("int64", "int32")
        if narrow == name or name in self.backend.integers(self.name):
            return name
        return narrow if np.array_equal(host.astype(narrow), host) else name

    def _require(self, dtype: object) -> str:
        if not isinstance(dtype, str) or dtype not in _DTYPES:
            raise DTypeError(
                f"{dtype!r} is no dtype that koubai knows. Ask for one by its name, as in "
                f'dtype="float32"; the names are {", ".join(_DTYPES)}.'
            )
        floats, integers = self.backend.dtypes(self.name), self.backend.integers(self.name)
        double = ("complex128",) if "float64" in floats else ()
        known = (*floats, *integers, "bool", "complex64", *double)
        if dtype in known:
            return dtype
        switch = self.backend.float64_switch if dtype in _INSTEAD else ""
        raise DTypeError(
            f"{self} has no {dtype} here; it has {', '.join(known)}. Ask for one of them: "
            f'koubai.asarray(x, device="{self}", dtype="{_INSTEAD.get(dtype, floats[0])}"). '
            f"{switch}".rstrip()
        )


def _restore(backend: str, name: str) -> Device:
    return Device(registry.load(backend), name)


def _numbers(obj: object) -> npt.NDArray[Any]:
    if not isinstance(obj, (int, float, complex, Sequence)):
        raise NotAnArrayError(
            f"asarray: {describe(obj)} is neither numbers nor an array of a known backend. "
            'numpy.asarray(x, dtype="float32") may make one; `python -m koubai` lists the backends.'
        )
    try:
        host = np.array(obj)
    except Exception as error:
        raise NotAnArrayError(
            f"asarray: this {describe(obj)} does not make one array of numbers: {error}. Nested "
            "lists need rows of one length; arrays in a list are joined first, with xp.stack."
        ) from error
    if host.dtype.kind not in "biufc":
        raise NotAnArrayError(
            f"asarray: this {describe(obj)} holds something else than numbers, or integers "
            f"beyond 64 bits: NumPy reads it as {host.dtype}. Turn its elements into numbers first."
        )
    return host
