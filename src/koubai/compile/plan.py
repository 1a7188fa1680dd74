"""Plan: what a function does to arrays, written down as a list of operations."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

from koubai.typing import Shape

__all__ = ["Operand", "Operation", "Pass", "Plan", "Value"]


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """
    One array of a plan, or one number: a name for what is there when the plan runs.

    Attributes
    ----------
    shape : tuple of int
        Its shape; empty for a number.
    dtype : numpy.dtype or None
        Its dtype; None for a Python number, which takes the dtype of the array it meets.
    number : type or None
        For a number, ``int`` or ``float``.
    by_columns : bool
        Whether a matrix lies column by column in memory, not row by row.
    """

    shape: Shape
    dtype: Any
    number: type | None = None
    by_columns: bool = False

    @property
    def is_array(self) -> bool:
        """Whether it is an array, not a number."""
        return self.number is None

    @property
    def size(self) -> int:
        """How many elements it has."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """How many bytes its elements take."""
        return 0 if self.dtype is None else self.size * self.dtype.itemsize


Operand: TypeAlias = "Value | int | float | bool | complex"


@dataclass(frozen=True, eq=False, slots=True)
class Operation:
    """
    One call of an array function.

    Attributes
    ----------
    name : str
        A function of the standard by NumPy's name, such as ``add`` or ``matmul``, or one
        that a pass brought in (`koubai.compile.operations` has them all).
    args : tuple
        Values and Python numbers.
    options : dict
        What the function takes besides: ``axis``, ``keepdims``, ...
    result : Value
        What it gives.
    """

    name: str
    args: tuple[Operand, ...]
    options: Mapping[str, Any]
    result: Value

    @property
    def reads(self) -> Iterator[Value]:
        """The values among the operands."""
        return (arg for arg in self.args if isinstance(arg, Value))

    @property
    def arrays(self) -> tuple[Value, ...]:
        """The operands, where all are arrays; else nothing."""
        found = tuple(value for value in self.reads if value.is_array)
        return found if len(found) == len(self.args) else ()


@dataclass(frozen=True)
class Plan:
    """
    The operations of a function of (state, inputs), in their order.

    Every value is given by one operation or is there from the start: an input, a part
    of the state, or a constant. Nothing is ever overwritten; where the arrays lie in
    memory is decided last, by `koubai.compile.memory`.

    Attributes
    ----------
    inputs, state : dict of str to Value
        What is handed over at each run, and what goes from one run to the next.
    constants : dict of Value to array
        Arrays that the function took from elsewhere.
    operations : tuple of Operation
        What is done.
    outputs : tuple of Value
        What the function returns.
    updates : dict of str to Value
        The new state.
    notes : tuple of str
        What each pass did, a line each.
    """

    inputs: Mapping[str, Value]
    state: Mapping[str, Value]
    constants: Mapping[Value, Any]
    operations: tuple[Operation, ...]
    outputs: tuple[Value, ...]
    updates: Mapping[str, Value]
    notes: tuple[str, ...] = ()

    @property
    def results(self) -> tuple[Value, ...]:
        """All that is still wanted when the last operation is done."""
        return (*self.outputs, *self.updates.values())

    def makers(self) -> dict[Value, Operation]:
        """Tell for every value which operation gives it."""
        return {operation.result: operation for operation in self.operations}

    def readers(self) -> dict[Value, list[Operation]]:
        """Tell for every value which operations read it."""
        found: dict[Value, list[Operation]] = {}
        for operation in self.operations:
            for value in dict.fromkeys(operation.reads):
                found.setdefault(value, []).append(operation)
        return found


Pass: TypeAlias = Callable[[Plan], Plan]
