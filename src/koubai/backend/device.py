"""Device: one place where arrays can be made, and the default among them."""

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from koubai.arrays import describe
from koubai.backend.contract import Backend
from koubai.backend.registry import registry
from koubai.errors import DTypeError, NotAnArrayError
from koubai.typing import Array, Namespace

__all__ = ["Device", "active_device"]

_active: ContextVar[tuple["Device", ...]] = ContextVar("koubai_device", default=())


def active_device() -> "Device | None":
    """Give the device of the innermost ``with koubai.device(...)``, if there is one."""
    stack = _active.get()
    return stack[-1] if stack else None


@dataclass(frozen=True)
class Device:
    """
    One device of one backend, proved to work; made by `koubai.device`.

    In a ``with`` statement it is the default for creating arrays.

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
        _active.set((*_active.get(), self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _active.set(_active.get()[:-1])

    @property
    def xp(self) -> Namespace:
        """The namespace of the backend."""
        return self.backend.xp

    def synchronize(self) -> None:
        """Wait until all the work handed to the device is done."""
        self.backend.synchronize(self.name)

    def asarray(self, obj: object, *, dtype: str | None = None, copy: bool | None = None) -> Array:
        """
        Bring an array, a number or nested lists of numbers to this device.

        Parameters
        ----------
        obj
            An array of any backend, or Python numbers.
        dtype
            The name of a dtype, such as ``"float32"``. By default an array keeps its
            own, and Python floats become float32.
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
        owned = registry.owned(obj)
        if owned is None:
            host = _host(obj)
            dtype = dtype or ("float32" if host.dtype == np.float64 else None)
        else:
            backend, array = owned
            if backend is self.backend and backend.device_of(array) == self.name:
                return self._keep(array, dtype, copy=bool(copy))
            host = backend.to_numpy(array)
        host = host if dtype is None else host.astype(_numpy_dtype(dtype), copy=False)
        self._require(host.dtype.name)
        return self.backend.from_numpy(host, self.name)

    def _keep(self, array: Array, dtype: str | None, *, copy: bool) -> Array:
        if dtype is not None:
            _numpy_dtype(dtype)
            self._require(dtype)
            wanted = getattr(self.xp, dtype)
            if array.dtype != wanted:
                return self.xp.astype(array, wanted)
        return self.xp.asarray(array, copy=True) if copy else array

    def _require(self, dtype: str) -> None:
        known = self.backend.dtypes(self.name)
        if dtype.startswith("float") and dtype not in known:
            switch = self.backend.float64_switch if dtype == "float64" else ""
            raise DTypeError(
                f"{self} has no {dtype} here; it has {', '.join(known)}. Ask for one of them: "
                f'koubai.asarray(x, device="{self}", dtype="{known[0]}"). {switch}'.rstrip()
            )
        if not hasattr(self.xp, dtype):
            raise DTypeError(f"{self} has no {dtype}.")


def _numpy_dtype(name: object) -> np.dtype[Any]:
    try:
        if isinstance(name, str):
            return np.dtype(getattr(np, name))
    except (AttributeError, TypeError):
        pass
    raise DTypeError(
        f"{name!r} is no name of a dtype. Write it as a string: "
        '"float32", "float64", "int64", "uint8", "bool".'
    )


def _host(obj: object) -> npt.NDArray[Any]:
    try:
        host = np.asarray(obj) if isinstance(obj, (int, float, complex, Sequence)) else None
    except ValueError as error:
        raise NotAnArrayError(f"asarray: the nested lists are ragged: {error}.") from error
    if host is None or host.dtype.kind not in "biufc":
        raise NotAnArrayError(
            f"asarray: {describe(obj)} is neither numbers nor an array of a backend that is "
            "loaded. The known backends: python -m koubai."
        )
    return host
