"""Compiled functions on the CPU: NumPy's plan, in the memory of the tensors themselves."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch.autograd.graph import increment_version

from koubai.backend import PureFunction
from koubai.compile.listing import Listing
from koubai.compile.record import flatten, unflatten
from koubai.compile.recorded import RecordedFunction
from koubai_torch import products
from koubai_torch.proof import proven

__all__ = ["Shared"]

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_DTYPES = frozenset({torch.float32, torch.float64, torch.bool, *_INTEGERS})
_KINDS = frozenset({torch.Tensor, torch.nn.Parameter})


class Shared:
    """
    A pure function of tensors, replayed as one of NumPy arrays, where that gives the same.

    Its first call runs the function as it is and as a replay, and compares, as `proven`
    does. What cannot be recorded, or is something else in NumPy than in PyTorch, runs as
    it is from then on.

    Parameters
    ----------
    function : callable
        ``(state, *inputs) -> (state, outputs)``, as for `koubai.backend.Backend.compile`.
    plain : callable
        The same function, as it runs where it is not replayed.
    """

    def __init__(self, function: PureFunction, plain: PureFunction) -> None:
        self._function, self._plain = function, plain
        self._way: PureFunction | None = None

    @property
    def plan(self) -> Listing | None:
        """The plan as a table, where there is one."""
        return self._way.plan if isinstance(self._way, _Replay) else None

    def __call__(self, state: dict[str, Any], *inputs: Any) -> tuple[dict[str, Any], Any]:
        """Run on new inputs; tensors of the state are written over."""
        if not all(map(_is_shared, inputs)):
            return self._plain(state, *inputs)
        if self._way is not None:
            return self._way(state, *inputs)
        if not all(map(_is_shared, state.values())):
            return self._plain(state, *inputs)
        replay, found = proven(partial(_Replay, self._function), self._plain, state, *inputs)
        self._way = replay or self._plain
        return found


class _Replay:
    """The replay of a function, on the arrays that are the memory of tensors."""

    def __init__(self, function: PureFunction) -> None:
        self._recorded = RecordedFunction(function, products=products)
        self._seen: dict[str, Any] | None = None
        self._arrays: dict[str, Any] = {}
        self._numbers: list[str] = []
        self._known: dict[str, tuple[torch.Tensor, int, Any]] = {}
        self._written: list[torch.Tensor] = []

    @property
    def plan(self) -> Listing:
        return self._recorded.plan

    def __call__(self, state: dict[str, Any], *inputs: Any) -> tuple[dict[str, Any], Any]:
        # A tensor may get another memory, as by w.data = ..., and stay the same object.
        moved = any(tensor.data_ptr() != at for tensor, at, _ in self._known.values())
        if moved or state is not self._seen:
            self._look_at(state)
        arrays = self._arrays
        for name in self._numbers:
            arrays[name] = state[name]
        try:
            with np.errstate(all="ignore"):  # PyTorch does not warn
                new, found = self._recorded(arrays, *map(_array, inputs))
        finally:
            if self._written:
                increment_version(self._written)  # autograd asks for it
        if new is not arrays:
            state = {name: self._tensor(name, value) for name, value in new.items()}
        return state, _tensors(found)

    def _look_at(self, state: dict[str, Any]) -> None:
        """Know the memory of the state, and what of it is written."""
        tensors = {name: v for name, v in state.items() if isinstance(v, torch.Tensor)}
        before, self._known = self._known, {}
        for name, tensor in tensors.items():
            at = tensor.data_ptr()
            old, there, array = before.get(name, (None, None, None))
            same = old is tensor and there == at
            self._known[name] = tensor, at, array if same else _array(tensor)
        self._arrays = {name: array for name, (_, _, array) in self._known.items()}
        self._numbers = [name for name in state if name not in tensors]
        self._written = [tensor for tensor in tensors.values() if not tensor.is_inference()]
        self._seen = state

    def _tensor(self, name: str, value: Any) -> Any:
        """Give the tensor whose memory an array of the state is."""
        if not isinstance(value, np.ndarray):
            return value
        tensor, _, array = self._known.get(name, (None, None, None))
        if array is not value:
            tensor = products.address(value)
            self._known[name] = tensor, tensor.data_ptr(), value
        return tensor


def _is_shared(value: Any) -> bool:
    """Tell whether NumPy can look at the memory of a tensor; a number is no matter."""
    if type(value) not in _KINDS:
        return not isinstance(value, torch.Tensor)
    return value.dtype in _DTYPES and value.layout is torch.strided and not value.is_neg()


def _array(value: Any) -> Any:
    return value.numpy(force=True) if isinstance(value, torch.Tensor) else value


def _tensors(found: Any) -> Any:
    """Give the outputs, which are nobody else's, as tensors."""
    if isinstance(found, np.generic):
        return torch.from_numpy(np.asarray(found))
    flat: list[Any] = []
    form = flatten(found, flat)
    tensors = [v if isinstance(v, (int, float)) else torch.from_numpy(np.asarray(v)) for v in flat]
    return unflatten(form, tensors)
