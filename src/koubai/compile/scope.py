"""Scope: what the lines of a replay know, each thing under a name."""

import re
from collections.abc import Mapping
from keyword import iskeyword
from math import inf, nan
from typing import Any

import numpy as np

from koubai.compile.memory import Memory, Storage
from koubai.compile.operations import LARGE, VIEWS
from koubai.compile.plan import Operand, Operation, Plan, Value
from koubai.compile.products import Products
from koubai.typing import Shape

__all__ = ["NUMBER_SIGNS", "Scope"]

_PRODUCTS = frozenset({"dot", "matmul"})
NUMBER_SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**"}


class Scope:
    """
    The arrays of a plan, where they are known before it runs, and the functions it calls.

    Parameters
    ----------
    plan : Plan
        What is to be written.
    memory : Memory
        Where its values lie.
    library : module
        Whose functions are called.
    products : Products
        Who multiplies, where the library is NumPy.

    Attributes
    ----------
    makers, readers : dict
        Those of the plan.
    names : dict of Value to str
        A name for every value, of its own.
    late : set of Value
        The arrays that are there only when the plan runs: inputs, outputs, and their views.
    arrays : dict of Value to array
        The others.
    known : dict of str to object
        What the lines know by the names that they use.
    told : set of str
        What a line has made for BLAS already.
    cut : set of Value
        While a loop over blocks of rows is written, what is cut into them.
    rows : int
        While such a loop is written, the rows of a block; else 0.
    repeated : dict of str to array
        While such a loop is written, the arrays of one number that it reads.
    """

    def __init__(self, plan: Plan, memory: Memory, library: Any, products: Products) -> None:
        self.plan, self.memory, self.library, self.products = plan, memory, library, products
        self.makers, self.readers = plan.makers(), plan.readers()
        self.names = _names(plan)
        self.late = self._known_late()
        self._arena = {s: library.empty(s.bytes + 64, np.uint8) for s in memory.buffers}
        self._full: dict[Any, Any] = {}  # arrays of one number, by shape, number and dtype
        self.arrays: dict[Value, Any] = {}
        self.known: dict[str, Any] = {}
        self.told: set[str] = set()
        self.cut: set[Value] = set()
        self.rows = 0
        self.repeated: dict[str, Any] = {}

    def fill(self, state: Mapping[str, Any]) -> None:
        """Know these arrays of the state, and nothing of what was written before."""
        self.arrays = {
            value: self.library.asarray(array, order="C")
            for value, array in self.plan.constants.items()
        }
        for name, value in self.plan.state.items():
            if value.dtype is not None:
                self.arrays[value] = state[name]
        self.known = {"empty": self.library.empty, "inf": inf, "nan": nan}
        self.told = set()

    def operand(self, arg: Operand, scalar: Any = None) -> str:
        """Name an operand; a number as an array of a dtype, where one is given."""
        if not isinstance(arg, Value):
            known = scalar is not None and not isinstance(arg, bool)
            return self.know(self.library.asarray(arg, scalar), "number") if known else repr(arg)
        name = self.names[arg]
        if arg in self.cut:
            return f"{name}_rows"
        if arg.dtype is not None and arg not in self.late:
            self.known[name] = self.arrays[arg]
        return name

    def lined_up(
        self, result: Value, *args: Operand, scalar: Any = None, pair: bool = False
    ) -> list[str]:
        """
        Name a result and its operands; turned where the result lies by columns.

        With ``pair``, numbers become arrays of the result's shape.
        """
        arrays = {arg for arg in (result, *args) if isinstance(arg, Value) and arg.is_array}
        # Turned, all lie by rows: NumPy need not find out which axis is the long one.
        turns = arrays if result.by_columns and self.late.isdisjoint(arrays) else set()
        names = [
            self.turned(arg)
            if isinstance(arg, Value) and arg in turns
            else self.operand(arg, scalar)
            for arg in (result, *args)
        ]
        if pair and scalar is not None and (self.rows or result.bytes < LARGE):
            shape = result.shape[::-1] if turns else result.shape
            for i, arg in enumerate(args, 1):
                if not isinstance(arg, Value):
                    names[i] = self._filled(arg, scalar, shape)
        return names

    def _filled(self, number: Any, dtype: Any, shape: Shape) -> str:
        """Name an array of one number; in a loop over blocks, of as many rows as a block has."""
        if self.rows:
            shape = (self.rows, *shape[1:])
        key = shape, repr(number), dtype
        if key not in self._full:
            self._full[key] = np.full(shape, number, dtype)
        name = self.know(self._full[key], "numbers")
        if self.rows:
            name += "_rows"
            self.repeated[name] = self._full[key]
        return name

    def turned(self, value: Value) -> str:
        """Name the transpose of a matrix; of a row, the column."""
        if value in self.late:
            return f"{self.operand(value)}.T"
        array = self.arrays[value]
        name = f"{self.names[value]}_T"
        self.known[name] = array[:, None] if array.ndim == 1 else array.T
        return name

    def know(self, thing: object, label: str) -> str:
        """Give a thing a name that the lines know."""
        name = f"{label}_{len(self.known)}"
        self.known[name] = thing
        return name

    def knows(self, name: str) -> str:
        """Let the lines know a function of the library."""
        multiplies = self.library is np and name in _PRODUCTS
        self.known.setdefault(name, getattr(self.products if multiplies else self.library, name))
        return name

    def place(self, value: Value) -> None:
        """Lay an array where the memory says."""
        self.arrays[value] = self._carved(self.memory.storage[value], value)

    def is_lone_number(self, operation: Operation) -> bool:
        """Tell whether one number is all that is computed, and the caller gets it."""
        first, *rest = operation.args
        return (
            operation.result.shape == ()
            and operation.result in self.plan.outputs
            and operation.name in NUMBER_SIGNS
            and isinstance(first, Value)
            and first.dtype == operation.result.dtype
            and not any(isinstance(arg, Value) and arg.dtype is not None for arg in rest)
            and all(o.name == "watch" for o in self.readers.get(operation.result, ()))
        )

    def _known_late(self) -> set[Value]:
        late = set(self.plan.inputs.values())
        for operation in self.plan.operations:
            result = operation.result
            is_view = operation.name in VIEWS and late.issuperset(operation.reads)
            if result.is_array and operation.name != "watch":
                storage = self.memory.storage[result]
                if is_view or storage.kind == "output" or self.is_lone_number(operation):
                    late.add(result)
        return late

    def _carved(self, storage: Storage, value: Value) -> Any:
        if storage.kind == "state":
            owner = next(v for v in self.plan.state.values() if self.memory.storage[v] is storage)
            return self.arrays[owner].view(value.dtype).reshape(value.shape)
        raw = self._arena[storage]
        start = -raw.ctypes.data % 64 if isinstance(raw, np.ndarray) else 0
        flat = raw[start : start + value.bytes].view(value.dtype)
        return flat.reshape(value.shape[::-1]).T if value.by_columns else flat.reshape(value.shape)


# Names that the lines make of others, or use themselves: none of them ends in "_".
_TAKEN = re.compile(r"_(rows|T|at|\d+)$|^c_.*[^_]$|^(address|replay)$")


def _names(plan: Plan) -> dict[Value, str]:
    """Give every value a name of its own that Python takes."""
    wanted = [*((v, name) for name, v in plan.inputs.items())]
    wanted += [*((v, name) for name, v in plan.state.items())]
    wanted += [(value, f"constant_{number}") for number, value in enumerate(plan.constants)]
    wanted += [(operation.result, f"v{i}") for i, operation in enumerate(plan.operations)]
    found: dict[Value, str] = {}
    taken: set[str] = set()
    for value, text in wanted:
        name = "".join(c if c.isalnum() else "_" for c in text)
        while name in taken or iskeyword(name) or hasattr(np, name) or _TAKEN.search(name):
            name += "_"
        taken.add(name)
        found[value] = name
    return found
