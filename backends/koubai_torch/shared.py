"""Compiled functions on the CPU: NumPy's plan, in the memory of the tensors themselves."""

from typing import Any

import numpy as np
import torch
from torch.autograd.graph import increment_version

from koubai.backend import PureFunction
from koubai.compile.listing import Listing
from koubai.compile.record import flatten, unflatten
from koubai.compile.recorded import RecordedFunction
from koubai_torch import products

__all__ = ["Shared"]

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_DTYPES = frozenset({torch.float32, torch.float64, torch.bool, *_INTEGERS})


class Shared:
    """
    A pure function of tensors, recorded and replayed as one of NumPy arrays.

    A tensor on the CPU and a NumPy array can be the same memory, so nothing is copied. What
    cannot be recorded, or has dtypes that NumPy lacks or is slow at, runs as it is.

    Parameters
    ----------
    function : callable
        ``(state, *inputs) -> (state, outputs)``, as for `koubai.backend.Backend.compile`.
    plain : callable
        The same function, as it runs where it is not recorded.
    """

    def __init__(self, function: PureFunction, plain: PureFunction) -> None:
        self._recorded = RecordedFunction(function, products=products)
        self._plain = plain
        self._replays: bool | None = None
        self._seen: dict[str, Any] | None = None
        self._host: dict[str, Any] = {}
        self._numbers: list[str] = []
        self._written: list[torch.Tensor] = []
        self._known: dict[str, tuple[torch.Tensor, Any]] = {}

    @property
    def plan(self) -> Listing | None:
        """The plan as a table, where there is one."""
        return self._recorded.plan if self._replays else None

    def __call__(self, state: dict[str, Any], *inputs: Any) -> tuple[dict[str, Any], Any]:
        """Run on new inputs; tensors of the state are written over."""
        if self._replays is None:
            self._replays = self._record(state, inputs)
        if not self._replays:
            return self._plain(state, *inputs)
        if state is not self._seen:
            self._look_at(state)
        host = self._host
        for name in self._numbers:
            host[name] = state[name]
        new, found = self._recorded(host, *map(_array, inputs))
        if self._written:
            increment_version(self._written)  # autograd asks whether what it kept has changed
        if new is not host:
            state = {name: self._tensor(name, value) for name, value in new.items()}
        return state, _tensors(found)

    def _record(self, state: dict[str, Any], inputs: tuple[Any, ...]) -> bool:
        """Try to record; whatever is wrong, the function as it is says it better."""
        if not all(map(_is_shared, (*state.values(), *inputs))):
            return False
        try:
            arrays = {name: _array(value) for name, value in state.items()}
            self._recorded.prepare(arrays, tuple(map(_array, inputs)))
        except Exception:  # noqa: BLE001
            return False
        return True

    def _look_at(self, state: dict[str, Any]) -> None:
        """Know the memory of the state, and what of it is written."""
        tensors = {name: v for name, v in state.items() if isinstance(v, torch.Tensor)}
        before, self._known = self._known, {}
        for name, tensor in tensors.items():
            old, array = before.get(name, (None, None))
            self._known[name] = tensor, array if old is tensor else _array(tensor)
        self._host = {name: array for name, (_, array) in self._known.items()}
        self._numbers = [name for name in state if name not in tensors]
        updates = self._recorded.replay.plan.updates
        self._written = [v for n, v in tensors.items() if n in updates and not v.is_inference()]
        self._seen = state

    def _tensor(self, name: str, value: Any) -> Any:
        """Give the tensor whose memory an array of the state is."""
        if not isinstance(value, np.ndarray):
            return value
        known = self._known.get(name)
        if known is None or known[1] is not value:
            known = self._known[name] = torch.from_numpy(value), value
        return known[0]


def _is_shared(value: Any) -> bool:
    """Tell whether NumPy can look at a tensor's memory; a number is no matter."""
    if not isinstance(value, torch.Tensor):
        return True
    plain = type(value) in {torch.Tensor, torch.nn.Parameter} and value.layout == torch.strided
    return plain and value.dtype in _DTYPES and not value.is_neg()


def _array(value: Any) -> Any:
    return value.numpy(force=True) if isinstance(value, torch.Tensor) else value


def _tensors(found: Any) -> Any:
    """Give the outputs, which are nobody else's, as tensors."""
    if isinstance(found, np.generic):
        return torch.from_numpy(np.asarray(found))
    flat: list[Any] = []
    form = flatten(found, flat)
    return unflatten(form, [torch.from_numpy(np.asarray(each)) for each in flat])
