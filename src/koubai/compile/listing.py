"""A plan as a table to read: what is done, where it lies, and what each pass did."""

from collections.abc import Iterator
from itertools import zip_longest

from koubai.compile.operations import NUMBERS, VIEWS, flops
from koubai.compile.plan import Operand, Operation, Value
from koubai.compile.replay import Replay

__all__ = ["Listing"]

_SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**", "matmul": "@"}
_COMPARED = {"less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "=="}
_INFIX = _SIGNS | _COMPARED | {"bitwise_and": "&", "bitwise_or": "|", "not_equal": "!="}


class Listing:
    """
    What a compiled function does; print it.

    Parameters
    ----------
    replay : Replay
        What runs.

    Attributes
    ----------
    source : str
        The Python function that runs, a line an operation.
    passes : tuple of str
        What each pass did.
    operations : int
        The number of operations of a run; views are none.
    buffer_bytes : int
        The memory of all buffers.
    result_bytes : int
        What the results of all operations would take, each in an array of its own.
    flops : int
        The floating-point operations of a run.
    """

    def __init__(self, replay: Replay) -> None:
        self._plan, self._memory = replay.plan, replay.memory
        self.source = replay.source
        self.passes = replay.plan.notes
        done = [o for o in replay.plan.operations if _works(o)]
        self.operations = len(done)
        self.buffer_bytes = replay.arena_bytes
        self.result_bytes = sum(o.result.bytes for o in done)
        self.flops = sum(map(flops, done))

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def __repr__(self) -> str:
        return str(self)

    def _lines(self) -> Iterator[str]:
        yield from _aligned([_HEAD, *self._rows()])
        yield ""
        yield (
            f"{self.operations} operations, {self.flops:,} floating-point operations; "
            f"{self.buffer_bytes:,} bytes of buffers for {self.result_bytes:,} bytes of results"
        )
        yield ""
        yield "What each pass did:"
        yield from (f"  {note}" for note in self.passes)

    def _rows(self) -> Iterator[tuple[str, ...]]:
        names = self._names()
        number = 0
        for operation in self._plan.operations:
            result = operation.result
            if not _works(operation):
                continue
            number += 1
            storage = self._memory.storage[result]
            bytes_ = f"{result.bytes:,}"
            form = f"{result.shape} {result.dtype}"
            work = f"{flops(operation):,}"
            text = f"{names[result]} = {_written(operation, names)}"
            yield str(number), text, form, storage.name, bytes_, work

    def _names(self) -> dict[Value, str]:
        """Name values as the formulas do: views by what they look at, numbers by their formula."""
        plan = self._plan
        names = {v: name for named in (plan.inputs, plan.state) for name, v in named.items()}
        names |= {value: f"constant{i}" for i, value in enumerate(plan.constants)}
        count = 0
        for operation in plan.operations:
            result = operation.result
            if _works(operation):
                count += 1
                names[result] = f"v{count}"
            elif operation.name in VIEWS and result.dtype is not None:
                names[result] = _seen(operation, names)
            elif operation.name != "watch":
                names[result] = f"({_written(operation, names)})"
        return names


_HEAD = ("", "operation", "result", "lies in", "bytes", "flops")


def _works(operation: Operation) -> bool:
    """Tell whether an operation fills an array."""
    hidden = operation.name in VIEWS or operation.name == "watch"
    return operation.result.dtype is not None and not hidden


def _written(operation: Operation, names: dict[Value, str]) -> str:
    args = [_operand(arg, names) for arg in operation.args]
    name, options = operation.name, dict(operation.options)
    if name == "gemm":
        c, a, b, alpha, beta = args
        whole = f"{alpha} * {a} @ {b}".removeprefix("1.0 * ")
        return f"{whole} + {beta} * {c}".replace("+ 1.0 * ", "+ ")
    if name in _INFIX and len(args) == 2:
        return f"{args[0]} {_INFIX[name]} {args[1]}"
    if name == "negative" and operation.result.dtype is None and name in NUMBERS:
        return f"-{args[0]}"
    if name == "call":
        name, options = options["label"], {}
    told = [f"{key}={value}" for key, value in options.items() if value is not False]
    return f"{name}({', '.join([*args, *told])})"


def _operand(arg: Operand, names: dict[Value, str]) -> str:
    return names[arg] if isinstance(arg, Value) else str(arg)


def _seen(operation: Operation, names: dict[Value, str]) -> str:
    source = names[next(operation.reads)]
    if operation.name == "permute_dims" and operation.options["axes"] == (1, 0):
        return f"{source}.T"
    if operation.name == "bitcast" and operation.result.dtype.kind in "iu":
        return f"bits({source})"
    return source


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    left = (False, True, True, True, False, False)
    for row in rows:
        cells = (
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(row, widths, left, strict=True)
        )
        yield "  ".join(cells).rstrip()
