"""The replay: a plan becomes a Python function without a decision in it."""

import linecache
import weakref
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import numpy as np

from koubai.compile import blas
from koubai.compile.blocks import all_lines
from koubai.compile.memory import Memory
from koubai.compile.plan import Plan, Value
from koubai.compile.products import Products
from koubai.compile.scope import Scope

__all__ = ["Replay", "returned_updates"]

_numbers = count()
_dropped: list[str] = []


class Replay:
    """
    A plan, bound to buffers and to the arrays of the state, and ready to run.

    Parameters
    ----------
    plan : Plan
        What to do.
    memory : Memory
        Where.
    library : module
        NumPy, or a library with the same functions and ``out=``.
    products : Products
        Who multiplies, where the library is NumPy.

    Attributes
    ----------
    source : str
        The Python function that runs: one line an operation.
    """

    def __init__(
        self, plan: Plan, memory: Memory, library: Any = np, products: Products = blas
    ) -> None:
        self.plan = plan
        self.memory = memory
        self.source = ""
        self._scope = Scope(plan, memory, library, products)
        self._file = f"<koubai plan {next(_numbers)}>"
        weakref.finalize(self, _dropped.append, self._file)

    @property
    def arena_bytes(self) -> int:
        """How much memory the buffers take."""
        return sum(storage.bytes for storage in self.memory.buffers)

    def bind(self, state: Mapping[str, Any]) -> Callable[..., tuple[Any, ...]]:
        """
        Make the function that runs on these arrays of the state.

        Parameters
        ----------
        state : dict of str to array or number
            The arrays are written over at each run; numbers are handed over anew.

        Returns
        -------
        callable
            Takes the inputs and then the numbers of the state, by position; gives the
            outputs and then the updates that were not written in place.
        """
        self._scope.fill(state)
        numbers = [value for value in self.plan.state.values() if value.dtype is None]
        arguments = [self._scope.names[v] for v in (*self.plan.inputs.values(), *numbers)]
        body = "".join(f"    {line}\n" for line in self._lines())
        self.source = f"def replay({', '.join(arguments)}):\n{body}"
        return self._compiled()

    def _lines(self) -> Iterator[str]:
        scope = self._scope
        for value in self.plan.inputs.values():
            if value.dtype is not None:
                name = scope.names[value]
                yield f"if not {name}.flags.c_contiguous:"
                yield f"    {name} = {scope.knows('ascontiguousarray')}({name})"
        yield from all_lines(scope)
        for name, value in self.memory.copies.items():
            old = scope.operand(self.plan.state[name])
            yield f"{scope.knows('copyto')}({old}, {scope.operand(value)})"
        told = [self._output(value) for value in self.plan.outputs]
        told += map(scope.operand, returned_updates(self.plan, self.memory).values())
        yield f"return ({''.join(each + ', ' for each in told)})"

    def _output(self, value: Value) -> str:
        """Give an output away; of a single number, the number."""
        scope = self._scope
        name = scope.operand(value)
        in_buffer = value.dtype is not None and not value.shape and value not in scope.late
        how = "[()]" if scope.library is np else ".copy()"
        return f"{name}{how}" if in_buffer else name

    def _compiled(self) -> Callable[..., tuple[Any, ...]]:
        # So that a traceback shows the line. Those of plans that are gone go here, and not when
        # they go, which may be while linecache itself looks through its entries.
        while _dropped:
            linecache.cache.pop(_dropped.pop(), None)
        lines = self.source.splitlines(keepends=True)
        linecache.cache[self._file] = (len(self.source), None, lines, self._file)
        known = self._scope.known
        exec(compile(self.source, self._file, "exec"), known)  # noqa: S102  (our own lines)
        function: Callable[..., tuple[Any, ...]] = known.pop("replay")  # else it holds itself
        return function


def returned_updates(plan: Plan, memory: Memory) -> dict[str, Value]:
    """Give the updates that a run returns: numbers, and arrays that were not there before."""
    return {
        name: value
        for name, value in plan.updates.items()
        if value.dtype is None or memory.storage[value].kind == "output"
    }
