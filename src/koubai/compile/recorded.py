"""A function that is recorded when it is first called, and replayed from then on."""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Lock
from typing import Any

import numpy as np

from koubai.arrays import NUMPY
from koubai.backend import PureFunction
from koubai.compile import blas
from koubai.compile.listing import Listing
from koubai.compile.memory import place
from koubai.compile.passes import FIRST, LAST, ON_THE_HOST, WITH_BLAS, simplify
from koubai.compile.products import Products
from koubai.compile.record import record, unflatten
from koubai.compile.replay import Replay, returned_updates
from koubai.typing import Namespace

__all__ = ["RecordedFunction"]


class RecordedFunction:
    """
    A pure function of (state, inputs) as `koubai.Backend.compile` describes it.

    Parameters
    ----------
    function : callable
        ``(state, *inputs) -> (state, outputs)``.
    library : module
        NumPy, or a library with the same functions and ``out=``.
    xp : Namespace
        Its namespace.
    scope : callable
        Gives a context in which everything runs, such as one that makes a GPU the current
        one.
    products : Products
        Who multiplies, where the library is NumPy: by default NumPy's own BLAS.
    """

    def __init__(
        self,
        function: PureFunction,
        library: Any = np,
        xp: Namespace = NUMPY,
        scope: Callable[[], AbstractContextManager[object]] | None = None,
        products: Products = blas,
    ) -> None:
        self._function = function
        self._library = library
        self._xp = xp
        self._scope = scope
        self._products = products
        self._lock = Lock()
        self._run: Callable[..., tuple[Any, ...]] | None = None
        self._bound: list[tuple[str, Any]] = []
        self._replay: Replay | None = None
        self._seen: dict[str, Any] | None = None
        self._plain = False

    @property
    def replay(self) -> Replay:
        """The plan, its memory and the source of what runs."""
        assert self._replay is not None
        return self._replay

    @property
    def plan(self) -> Listing:
        """The plan as a table."""
        return Listing(self.replay)

    def __call__(self, state: dict[str, Any], *inputs: Any) -> tuple[dict[str, Any], Any]:
        """Run on new inputs; arrays of the state are written over. Threads wait for each other."""
        with self._lock:  # there is one set of buffers
            if state is self._seen and self._plain and self._run is not None:
                return state, self._run(*inputs, *map(state.__getitem__, self._numbers))[0]
            if self._scope is None:
                return self._called(state, inputs)
            with self._scope():
                return self._called(state, inputs)

    def _called(self, state: dict[str, Any], inputs: tuple[Any, ...]) -> tuple[dict[str, Any], Any]:
        if self._replay is None:
            self._record(state, inputs)
        if state is not self._seen:  # the same dict holds the same arrays
            state = self._rebound(state)
        assert self._run is not None
        found = self._run(*inputs, *map(state.__getitem__, self._numbers))
        if self._updates:
            state = {**state, **dict(zip(self._updates, found[self._count :], strict=True))}
        return state, unflatten(self._form, found)

    def _record(self, state: dict[str, Any], inputs: tuple[Any, ...]) -> None:
        named = dict(zip(_names(self._function, len(inputs)), inputs, strict=True))
        plan, self._form = record(self._function, state, named, self._xp)
        on_the_host = ON_THE_HOST if self._library is np else ()
        with_blas = WITH_BLAS if on_the_host and self._products.available() else ()
        plan = simplify(plan, (*FIRST, *on_the_host, *with_blas, *LAST))
        memory = place(plan)
        self._replay = Replay(plan, memory, self._library, self._products)
        self._numbers = [name for name, value in plan.state.items() if value.dtype is None]
        self._updates = list(returned_updates(plan, memory))
        self._count = len(plan.outputs)
        self._plain = self._form == 0 and not self._updates and self._scope is None

    def _rebound(self, state: dict[str, Any]) -> dict[str, Any]:
        """Run on other arrays from now on, if these are others; lay them row by row."""
        if self._run is None or any(state[name] is not array for name, array in self._bound):
            names = [name for name, value in self.replay.plan.state.items() if value.is_array]
            arrays = {name: self._library.asarray(state[name], order="C") for name in names}
            self._bound = list(arrays.items())
            self._run = self.replay.bind(arrays)
            if any(state[name] is not array for name, array in self._bound):
                state = {**state, **arrays}
        self._seen = state
        return state


def _names(function: Callable[..., Any], count: int) -> list[str]:
    """Name the inputs as the function does, where it gives each a name."""
    known = inspect.signature(function).parameters.values()
    names = [p.name for p in known if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
    return names if len(names) == count else [f"input{i}" for i in range(count)]
