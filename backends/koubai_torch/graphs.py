"""CUDA graphs: a pure function of tensors, captured once and replayed without Python."""

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeAlias, cast

import torch
from torch import cuda

from koubai.backend import PureFunction
from koubai_torch import copied
from koubai_torch.proof import proven

__all__ = ["Captured", "unrolled"]

_Tensors: TypeAlias = dict[str, torch.Tensor]

_KEPT = 8  # graphs beside each other, for inputs of other shapes
_WARM_UPS = 3  # runs in which cuBLAS and the allocator get ready
_STEPS = 50  # in one graph


class Captured:
    """
    A pure function as a CUDA graph, where that gives the same.

    Its first call runs the function as it is and once more as a graph, and compares. Only if
    both give the same to half of the digits is the graph used from then on; if they do not, or
    if something cannot be captured, the function runs as it is.

    Parameters
    ----------
    function : callable
        ``(state, *inputs) -> (state, outputs)``, as for `koubai.backend.Backend.compile`. In a
        graph it gets numbers, of the state or the inputs, as tensors of shape ().
    plain : callable
        The same function, as it runs where there is no graph.
    device : str
        The GPU.
    """

    def __init__(self, function: PureFunction, plain: PureFunction, device: str) -> None:
        self._function, self._plain, self._device = function, plain, device
        self._graphs: OrderedDict[object, PureFunction | None] = OrderedDict()

    def __call__(self, state: dict[str, Any], *inputs: Any) -> tuple[dict[str, Any], Any]:
        """Run on new values."""
        key = tuple(map(_form, (*state.values(), *inputs)))
        if key not in self._graphs:
            capture = partial(_Graph, self._function, state, inputs, self._device)
            self._graphs[key], found = proven(capture, self._plain, state, *inputs)
            if len(self._graphs) > _KEPT:
                self._graphs.popitem(last=False)
            return found
        self._graphs.move_to_end(key)
        return (self._graphs[key] or self._plain)(state, *inputs)


class _Graph:
    """A captured function: the tensors that it reads and writes, each at its address."""

    def __init__(
        self, function: PureFunction, state: Mapping[str, Any], inputs: tuple[Any, ...], device: str
    ) -> None:
        self._state: _Tensors = {n: v for n, v in state.items() if isinstance(v, torch.Tensor)}
        self._told = {name: value for name, value in state.items() if name not in self._state}
        with torch.no_grad():
            self._numbers = {name: _own(number, device) for name, number in self._told.items()}
            self._inputs = tuple(_own(each, device) for each in inputs)
        self._graph = cuda.CUDAGraph()
        with torch.inference_mode(), cuda.device(device):
            self._outputs = self._capture(function)

    def _capture(self, function: PureFunction) -> Any:
        state = {**self._state, **self._numbers}
        before = {name: tensor.clone() for name, tensor in state.items()}
        beside = cast(Any, cuda).Stream()
        beside.wait_stream(cuda.current_stream())
        with cuda.stream(beside):
            for _ in range(_WARM_UPS):
                function(dict(state), *self._inputs)
        cuda.current_stream().wait_stream(beside)
        for name, tensor in before.items():  # a -= b changes what it was handed
            state[name].copy_(tensor)
        with cuda.graph(self._graph):
            new, outputs = function(dict(state), *self._inputs)
            self._require_same_form(new, state)
            outputs = copied(outputs)
            written = {_memory(tensor) for tensor in state.values()}
            changed = {name: value for name, value in new.items() if value is not state[name]}
            for name, value in changed.items():
                if _memory(value) in written:  # which another one's new value may overwrite
                    changed[name] = value.clone()
            for name, value in changed.items():
                state[name].copy_(value)
        return outputs

    def _require_same_form(self, new: Mapping[str, Any], state: _Tensors) -> None:
        """Refuse a state that grows, or that has other numbers after a step."""
        for name, number in self._numbers.items():
            if new[name] is not number:
                raise ValueError(f"{name} changes in the step, which only the host can tell.")
        forms = [{n: (v.shape, v.dtype) for n, v in each.items()} for each in (new, state)]
        if forms[0] != forms[1]:
            raise ValueError("The state changes its form.")

    def __call__(self, state: dict[str, Any], *inputs: Any) -> tuple[dict[str, Any], Any]:
        # All are copied before the first is written: one may be another of ours.
        other = {name: state[name] for name in self._state if state[name] is not self._state[name]}
        other = {name: value.clone() for name, value in other.items()}
        with torch.no_grad():
            for name, value in other.items():
                self._state[name].copy_(value)
            for name, tensor in self._numbers.items():
                if state[name] is not self._told[name]:
                    self._told[name] = state[name]
                    tensor.fill_(state[name])
            for tensor, given in zip(self._inputs, inputs, strict=True):
                if isinstance(given, torch.Tensor):
                    tensor.copy_(given)
                else:
                    tensor.fill_(given)
        self._graph.replay()
        return {**state, **self._state} if other else state, copied(self._outputs)


def unrolled(function: PureFunction, plain: PureFunction, device: str) -> PureFunction:
    """
    Make many calls one: as graphs of some dozens of steps.

    Parameters
    ----------
    function, plain, device
        As for `Captured`.

    Returns
    -------
    callable
        The function for inputs with an axis in front, of steps; its outputs have one too.
    """

    def all_steps(step: PureFunction) -> PureFunction:
        def run(state: dict[str, Any], *inputs: Any) -> tuple[dict[str, Any], Any]:
            outputs = []
            for each in zip(*inputs, strict=True):
                state, output = step(state, *each)
                outputs.append(output)
            return state, torch.stack(outputs)

        return run

    captured = Captured(all_steps(function), all_steps(plain), device)

    def run(state: dict[str, Any], *inputs: Any) -> tuple[dict[str, Any], Any]:
        found = []
        for pieces in zip(*(each.split(_STEPS) for each in inputs), strict=True):
            state, outputs = captured(state, *pieces)
            found.append(outputs)
        return state, torch.cat(found)

    return run


def _form(value: Any) -> object:
    """Tell what a graph depends on in a tensor or a number."""
    return (value.shape, value.dtype) if isinstance(value, torch.Tensor) else type(value)


def _own(value: Any, device: str) -> torch.Tensor:
    """Copy a tensor; a number becomes one of shape (), which does not widen what it meets."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    dtype = {float: torch.float64, int: torch.int64}.get(type(value))
    return torch.tensor(value, dtype=dtype, device=device)


def _memory(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage().data_ptr())
