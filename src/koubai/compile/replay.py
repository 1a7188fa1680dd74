"""The replay: a plan becomes a Python function without a loop or a decision in it."""

import linecache
import weakref
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from keyword import iskeyword
from math import inf, isfinite, nan
from typing import Any

import numpy as np
import numpy.typing as npt

from koubai.compile import blas
from koubai.compile.memory import Memory, Storage
from koubai.compile.operations import REDUCTIONS, VIEWS, call, elementwise, ufunc, view
from koubai.compile.plan import Operand, Operation, Plan, Value
from koubai.typing import Shape

__all__ = ["Replay"]

_Array = npt.NDArray[Any]

_NUMBER_SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**"}
_NUMBER_PREFIXES = {"negative": "-", "positive": "+", "absolute": "abs"}
_CACHE = 1 << 20  # bytes that stay in a core's own cache from one operation to the next
_LARGE = 1 << 19  # bytes of a result from which blocks are worth their calls
_PAIRS = frozenset({"maximum", "minimum"})  # at a number NumPy takes twice as long as at two arrays
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

    Attributes
    ----------
    source : str
        The Python function that runs: one line an operation.
    """

    def __init__(self, plan: Plan, memory: Memory, library: Any = np) -> None:
        self.plan = plan
        self.memory = memory
        self._library = library
        self._names = _names(plan)
        self._makers, self._readers = plan.makers(), plan.readers()
        self._late = self._known_late()
        self._arena = {s: library.empty(s.bytes + 64, np.uint8) for s in memory.buffers}
        self._arrays: dict[Value, Any] = {}
        self._known: dict[str, Any] = {}
        self._cut: set[Value] = set()
        self._told: set[str] = set()  # what BLAS is told by name, and has one already
        self._full: dict[Any, Any] = {}  # arrays of one number, by shape, number and dtype
        self._full_rows: dict[str, Any] = {}
        self._step = 0  # rows in a block, while one is written
        self._file = f"<koubai plan {next(_numbers)}>"
        weakref.finalize(self, _dropped.append, self._file)
        self.source = ""

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
        self._arrays = {
            value: self._library.asarray(array, order="C")
            for value, array in self.plan.constants.items()
        }
        for name, value in self.plan.state.items():
            if value.dtype is not None:
                self._arrays[value] = state[name]
        self._known = {"empty": self._library.empty, "inf": inf, "nan": nan}
        self._told.clear()
        body = list(self._lines())
        arguments = [self._names[v] for v in (*self.plan.inputs.values(), *self._state_numbers())]
        self.source = "\n".join([f"def replay({', '.join(arguments)}):", *_indented(body)]) + "\n"
        return self._compiled()

    def _compiled(self) -> Callable[..., tuple[Any, ...]]:
        # So that a traceback shows the line. Those of plans that are gone go here, and not when
        # they go, which may be while linecache itself looks through its entries.
        while _dropped:
            linecache.cache.pop(_dropped.pop(), None)
        lines = self.source.splitlines(keepends=True)
        linecache.cache[self._file] = (len(self.source), None, lines, self._file)
        exec(compile(self.source, self._file, "exec"), self._known)  # noqa: S102  (our own lines)
        function: Callable[..., tuple[Any, ...]] = self._known["replay"]
        return function

    def _state_numbers(self) -> list[Value]:
        return [value for value in self.plan.state.values() if value.dtype is None]

    def _lines(self) -> Iterator[str]:
        for value in self.plan.inputs.values():
            if value.dtype is not None:
                name = self._names[value]
                yield f"if not {name}.flags.c_contiguous:"
                yield f"    {name} = {self._knows('ascontiguousarray')}({name})"
        for group in self._groups():
            if len(group) > 1:
                yield from self._block(group)
            else:
                yield from self._operation(group[0])
        for name, value in self.memory.copies.items():
            old = self._operand(self.plan.state[name])
            yield f"{self._knows('copyto')}({old}, {self._operand(value)})"
        told = [self._output(value) for value in self.plan.outputs]
        told += map(self._operand, returned_updates(self.plan, self.memory).values())
        yield f"return ({''.join(each + ', ' for each in told)})"

    def _output(self, value: Value) -> str:
        """Give an output away; of a single number, the number."""
        name = self._operand(value)
        in_buffer = value.dtype is not None and not value.shape and value not in self._late
        how = "[()]" if self._library is np else ".copy()"
        return f"{name}{how}" if in_buffer else name

    def _known_late(self) -> set[Value]:
        """Give the arrays that are there only when the plan runs: inputs, outputs, their views."""
        late = set(self.plan.inputs.values())
        for operation in self.plan.operations:
            result = operation.result
            is_view = operation.name in VIEWS and late.issuperset(operation.reads)
            if result.is_array and operation.name != "watch":
                storage = self.memory.storage[result]
                if is_view or storage.kind == "output" or self._is_scalar(operation):
                    late.add(result)
        return late

    # One operation, one line

    def _operation(self, operation: Operation) -> Iterator[str]:
        result = operation.result
        if operation.name in VIEWS and result.dtype is not None:
            yield from self._view(operation)
            return
        if operation.name == "watch":
            yield from self._watch(operation)
            return
        if self._is_scalar(operation):
            a, b = (self._operand(arg) for arg in operation.args)
            a = f"{a}[()]" if operation.args[0] not in self._late else a
            yield f"{self._names[result]} = {a} {_NUMBER_SIGNS[operation.name]} {b}"
            return
        if result.dtype is None:
            yield f"{self._names[result]} = {self._arithmetic(operation)}"
            return
        storage = self.memory.storage[result]
        if storage.kind == "output":
            dtype = self._know(result.dtype, str(result.dtype))
            yield f"{self._names[result]} = empty({result.shape}, {dtype})"
        else:
            self._arrays[result] = self._carved(storage, result)
        yield from self._written(operation, self._operand(result))

    def _is_scalar(self, operation: Operation) -> bool:
        """Tell whether one number is all that is computed, and the caller gets it."""
        first, *rest = operation.args
        return (
            operation.result.shape == ()
            and operation.result in self.plan.outputs
            and operation.name in _NUMBER_SIGNS
            and isinstance(first, Value)
            and first.dtype == operation.result.dtype
            and not any(isinstance(arg, Value) and arg.dtype is not None for arg in rest)
            and all(o.name == "watch" for o in self._readers.get(operation.result, ()))
        )

    def _watch(self, operation: Operation) -> Iterator[str]:
        """Write a look at a number, in the middle of the run, for the errors it may raise."""
        self._known["isfinite"] = isfinite
        check = self._know(operation.options["check"], "check")
        loss, *others = map(self._operand, operation.args)
        yield f"if not isfinite({loss}):"
        yield f"    {check}({', '.join(others)})"

    def _written(self, operation: Operation, out: str) -> Iterator[str]:
        """Write the call of an operation that gives an array."""
        writers = {
            "gemm": self._gemm,
            "dot_of_nonzero": self._dot_of_nonzero,
            "matmul": self._matmul,
            "copy": self._copy,
            "astype": self._copy,
            "where": self._where,
            "take": self._take,
            "call": self._call,
        } | dict.fromkeys(REDUCTIONS, self._reduction)
        return writers.get(operation.name, self._ufunc)(operation, out)

    def _ufunc(self, operation: Operation, _: str) -> Iterator[str]:
        scalar = _common_dtype(operation)
        pair = operation.name in _PAIRS and self._library is np
        out, *told = self._lined_up(operation.result, *operation.args, scalar=scalar, pair=pair)
        yield f"{self._knows(operation.name)}({', '.join(told)}, out={out})"

    def _copy(self, operation: Operation, out: str) -> Iterator[str]:
        source = self._value(operation.args[0])
        safe = np.can_cast(source.dtype, operation.result.dtype, "same_kind")
        how = "" if safe else ', casting="unsafe"'
        yield f"{self._knows('copyto')}({out}, {self._operand(source)}{how})"

    def _call(self, operation: Operation, out: str) -> Iterator[str]:
        label = operation.options["label"].replace(".", "_")
        function = self._know(_caller(self._library, operation.options), label)
        told = ", ".join(map(self._operand, operation.args))
        yield f"{self._knows('copyto')}({out}, {function}({told}))"

    def _reduction(self, operation: Operation, out: str) -> Iterator[str]:
        axes, name = operation.options["axis"], operation.name
        axis = axes[0] if len(axes) == 1 else axes
        keep = ", keepdims=True" if operation.options["keepdims"] else ""
        function = self._know(_reduction(self._library, name), name)
        source = self._value(operation.args[0])
        array = self._operand(source)
        if source.by_columns and axis in {0, 1} and self._late.isdisjoint({source}):
            array, out, axis = self._turned(source), self._turned(operation.result), 1 - axis
        yield f"{function}({array}, axis={axis}, out={out}{keep})"

    def _matmul(self, operation: Operation, out: str) -> Iterator[str]:
        if any(len(value.shape) != 2 for value in operation.reads):
            yield from self._ufunc(operation, out)
        elif operation.result.by_columns:
            told = ", ".join(self._turned(value) for value in operation.arrays[::-1])
            yield f"{self._knows('dot')}({told}, out={self._turned(operation.result)})"
        else:
            told = ", ".join(map(self._operand, operation.args))
            yield f"{self._knows('dot')}({told}, out={out})"

    def _dot_of_nonzero(self, operation: Operation, out: str) -> Iterator[str]:
        a, w = map(self._operand, operation.args)
        self._known["isfinite"] = isfinite
        yield f"{self._knows('dot')}({a}, {w}, out={out})"
        yield f"if not isfinite({out}):"
        yield f"    {self._know(_dot_of_nonzero, 'dot_of_nonzero')}({a}, {w}, out={out})"

    def _take(self, operation: Operation, out: str) -> Iterator[str]:
        """Write a look-up in a table."""
        table, indices = (self._operand(arg) for arg in operation.args)
        axis = operation.options["axis"]
        if operation.result.by_columns:
            table, out = map(self._turned, (self._value(operation.args[0]), operation.result))
            axis = 1 - axis
        if self._library is np:
            mode = operation.options.get("mode", "raise")
            yield f'{table}.take({indices}, {axis}, {out}, "{mode}")'
        else:
            yield f"{self._knows('take')}({table}, {indices}, axis={axis}, out={out})"

    def _where(self, operation: Operation, out: str) -> Iterator[str]:
        mask, yes, no = operation.args
        copyto, result = self._knows("copyto"), operation.result
        in_place = isinstance(no, Value) and (
            self.memory.storage.get(no) is self.memory.storage[result]
        )
        if not in_place:
            yield f"{copyto}({out}, {self._operand(no)})"
        yield f"{copyto}({out}, {self._operand(yes)}, where={self._operand(mask)})"

    def _gemm(self, operation: Operation, _: str) -> Iterator[str]:
        c, a, b, *numbers = operation.args
        if self.memory.storage[self._value(c)] is not self.memory.storage[operation.result]:
            yield f"{self._knows('copyto')}({', '.join(self._lined_up(operation.result, c))})"
        real = blas.real(operation.result.dtype)
        told = []
        for number in numbers:
            name = f"c_{self._operand(number)}" if isinstance(number, Value) else ""
            if not name:
                name = self._know(real(number), "number")
            elif name not in self._told:
                self._told.add(name)
                yield f"{name} = {self._know(real, 'real')}({self._operand(number)})"
            told.append(name)
        matrices = [operation.result, self._value(a), self._value(b)]
        for value in matrices:
            array = self._laid(value)
            told.append(f"{self._names[array]}_at")
            if array not in self._late:
                self._known[told[-1]] = blas.address(self._arrays[array])
            elif told[-1] not in self._told:
                self._told.add(told[-1])
                self._known["address"] = blas.address
                yield f"{told[-1]} = address({self._operand(array)})"
        function = self._know(blas.gemm(*(self.memory.lies[value] for value in matrices)), "gemm")
        yield f"{function}({', '.join(told)})"

    def _laid(self, value: Value) -> Value:
        """Give the array that begins where a transpose of an input does."""
        while (
            value in self._late
            and value in self._makers
            and self._makers[value].name in {"permute_dims", "reshape"}
        ):
            value = next(self._makers[value].reads)
        return value

    def _view(self, operation: Operation) -> Iterator[str]:
        (source,) = operation.reads
        result = operation.result
        if source not in self._late:
            self._arrays[result] = view(operation, self._arrays[source])
            return
        readers = self._readers.get(result, ())
        turned = operation.name in {"permute_dims", "reshape"}
        if turned and all(
            reader.name == "gemm" and reader.args[0] is not result for reader in readers
        ):
            return  # it is the address that is asked for
        yield f"{self._names[result]} = {self._looked_at(operation, self._operand(source))}"

    def _looked_at(self, operation: Operation, array: str) -> str:
        """Write a view of an array that is known only when the plan runs."""
        options = operation.options
        match operation.name:
            case "reshape":
                return f"{array}.reshape({options['shape']})"
            case "permute_dims":
                return f"{array}.transpose({options['axes']})"
            case "broadcast_to":
                return f"{self._knows('broadcast_to')}({array}, {options['shape']})"
            case "getitem":
                return f"{array}[{', '.join(map(_key, options['key']))},]"
            case _:
                return f"{array}.view({self._know(options['dtype'], 'dtype')})"

    def _arithmetic(self, operation: Operation) -> str:
        args = [self._operand(arg) for arg in operation.args]
        if len(args) == 2:
            return f"{args[0]} {_NUMBER_SIGNS[operation.name]} {args[1]}"
        return f"{_NUMBER_PREFIXES[operation.name]}({args[0]})"

    # Several operations over blocks of rows

    def _groups(self) -> Iterator[list[Operation]]:
        """Put neighbours together that go element by element over the same large rows."""
        group: list[Operation] = []
        waiting: list[Operation] = []
        for operation in self.plan.operations:
            free = operation.name in VIEWS or operation.result.dtype is None
            if free and group and operation.name != "watch":
                waiting.append(operation)
                continue
            if group and self._may_join(group, operation):
                group += [*waiting, operation]
                waiting = []
                continue
            yield from _closed(group)
            for each in waiting:
                yield [each]
            waiting = []
            group = [operation] if self._may_join([], operation) else []
            if not group:
                yield [operation]
        yield from _closed(group)
        for each in waiting:
            yield [each]

    def _may_join(self, group: list[Operation], operation: Operation) -> bool:
        result = operation.result
        if result.dtype is None or not elementwise(operation.name) or len(result.shape) < 2:
            return False
        if self._library is not np:
            return False
        if any(value.by_columns for value in (result, *operation.reads)):
            return False
        rows = group[0].result.shape[0] if group else result.shape[0]
        if result.shape[0] != rows or (not group and result.bytes < _LARGE):
            return False
        if result.size * 8 < _LARGE or self.memory.storage[result].kind == "output":
            return False
        # One buffer must not hold rows of two lengths: blocks would overtake each other.
        used = [value for each in (*group, operation) for value in (each.result, *each.reads)]
        held = {(self.memory.storage[value], value.bytes) for value in used if value.is_array}
        return len(held) == len({storage for storage, _ in held}) and all(
            value.is_array and value not in self._late and self._goes_by_rows(value, result)
            for value in operation.reads
        )

    def _goes_by_rows(self, value: Value, result: Value) -> bool:
        """Tell whether an operand can be cut into the same rows, or is the same for all."""
        maker = self._makers.get(value)
        if maker is not None and maker.name in VIEWS:
            # A transpose, say, needs every row of what it looks at.
            return maker.name == "bitcast" and self._goes_by_rows(maker.arrays[0], result)
        return len(value.shape) < len(result.shape) or value.shape[0] in {1, result.shape[0]}

    def _block(self, group: list[Operation]) -> Iterator[str]:
        """Write a loop over blocks of rows, so small that they stay in the cache."""
        work = []
        for operation in group:
            result = operation.result
            if operation.name in VIEWS or not result.is_array:
                yield from self._operation(operation)
            else:
                self._arrays[result] = self._carved(self.memory.storage[result], result)
                work.append(operation)
        used = [value for operation in work for value in (operation.result, *operation.reads)]
        rows = work[0].result.shape[0]
        deep = len(work[0].result.shape)
        cut = [v for v in dict.fromkeys(used) if len(v.shape) == deep and v.shape[0] == rows]
        row = sum({self._arrays[v].ctypes.data: v.bytes for v in cut}.values()) // rows
        step = min(rows, max(1, _CACHE // max(row, 1)))
        self._cut, self._step, self._full_rows = set(cut), step, {}
        lines = [line for each in work for line in self._written(each, self._operand(each.result))]
        names = "".join(f"{name}, " for name in (*map(self._operand, cut), *self._full_rows))
        self._cut, self._step = set(), 0
        whole = [self._arrays[value] for value in cut]
        blocks = [
            (
                *(array[start : start + step] for array in whole),
                *(array[: rows - start] for array in self._full_rows.values()),
            )
            for start in range(0, rows, step)
        ]
        yield f"for {names}in {self._know(blocks, 'blocks')}:"
        yield from _indented(lines)

    # Names and arrays

    def _operand(self, arg: Operand, scalar: Any = None) -> str:
        if not isinstance(arg, Value):
            known = scalar is not None and not isinstance(arg, bool)
            return self._know(self._library.asarray(arg, scalar), "number") if known else repr(arg)
        name = self._names[arg]
        if arg in self._cut:
            return f"{name}_rows"
        if arg.dtype is not None and arg not in self._late:
            self._known[name] = self._arrays[arg]
        return name

    def _lined_up(
        self, result: Value, *args: Operand, scalar: Any = None, pair: bool = False
    ) -> list[str]:
        """
        Name a result and its operands; turned where the result lies by columns.

        With ``pair``, numbers become arrays of the result's shape.
        """
        arrays = {arg for arg in (result, *args) if isinstance(arg, Value) and arg.is_array}
        # Turned, all lie by rows: NumPy need not find out which axis is the long one.
        turns = arrays if result.by_columns and self._late.isdisjoint(arrays) else set()
        names = [
            self._turned(arg)
            if isinstance(arg, Value) and arg in turns
            else self._operand(arg, scalar)
            for arg in (result, *args)
        ]
        if pair and scalar is not None and (self._step or result.bytes < _LARGE):
            shape = result.shape[::-1] if turns else result.shape
            for i, arg in enumerate(args, 1):
                if not isinstance(arg, Value):
                    names[i] = self._repeated(arg, scalar, shape)
        return names

    def _repeated(self, number: Any, dtype: Any, shape: Shape) -> str:
        """Give the name of an array of one number; of as many rows as a block has, in a block."""
        shape = (self._step or shape[0], *shape[1:]) if shape else ()
        key = shape, repr(number), dtype
        if key not in self._full:
            self._full[key] = np.full(shape, number, dtype)
        name = self._know(self._full[key], "numbers")
        if self._step:
            name += "_rows"
            self._full_rows[name] = self._full[key]
        return name

    def _turned(self, value: Value) -> str:
        """Give the name of the transpose of a matrix; of a row, as a column."""
        if value in self._late:
            return f"{self._operand(value)}.T"
        array = self._arrays[value]
        name = f"{self._names[value]}_T"
        self._known[name] = array[:, None] if array.ndim == 1 else array.T
        return name

    def _know(self, thing: object, label: str) -> str:
        """Give a thing a name that the function knows."""
        name = f"{label}_{len(self._known)}"
        self._known[name] = thing
        return name

    def _knows(self, name: str) -> str:
        """Let the function know a function of the library."""
        self._known.setdefault(name, getattr(self._library, name))
        return name

    def _value(self, arg: Operand) -> Value:
        assert isinstance(arg, Value)
        return arg

    def _carved(self, storage: Storage, value: Value) -> Any:
        if storage.kind == "state":
            owner = next(v for v in self.plan.state.values() if self.memory.storage[v] is storage)
            return self._arrays[owner].view(value.dtype).reshape(value.shape)
        raw = self._arena[storage]
        start = -raw.ctypes.data % 64 if isinstance(raw, np.ndarray) else 0
        flat = raw[start : start + value.bytes].view(value.dtype)
        return flat.reshape(value.shape[::-1]).T if value.by_columns else flat.reshape(value.shape)


def returned_updates(plan: Plan, memory: Memory) -> dict[str, Value]:
    """Give the updates that a run returns: numbers, and arrays that were not there before."""
    return {
        name: value
        for name, value in plan.updates.items()
        if value.dtype is None or memory.storage[value].kind == "output"
    }


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
        while name in taken or iskeyword(name) or hasattr(np, name):
            name += "_"
        taken.add(name)
        found[value] = name
    return found


def _closed(group: list[Operation]) -> Iterator[list[Operation]]:
    real = [o for o in group if o.name not in VIEWS and o.result.is_array]
    if len(real) > 1:
        yield group
    else:
        yield from ([operation] for operation in group)


def _common_dtype(operation: Operation) -> Any:
    """Give the dtype that numbers take in an operation, where it is that of all its arrays."""
    dtypes = {value.dtype for value in operation.reads if value.dtype is not None}
    (dtype, *others) = dtypes
    numbers = [arg for arg in operation.args if not isinstance(arg, Value)]
    whole = all(isinstance(number, int) for number in numbers)
    if others or ufunc(operation.name) is None or dtype.kind not in ("fiu" if whole else "f"):
        return None
    return dtype


def _reduction(library: Any, name: str) -> Callable[..., Any]:
    if library is np:
        function: Callable[..., Any] = getattr(np, REDUCTIONS[name]).reduce
        return function
    return getattr(library, name)  # type: ignore[no-any-return]


def _caller(library: Any, options: Mapping[str, Any]) -> Callable[..., Any]:
    return lambda *values: call(library, options, values)


def _dot_of_nonzero(a: _Array, w: _Array, out: _Array) -> None:
    """Give the dot product in which 0 times infinity is 0."""
    used = a != 0
    np.dot(a[used], w[used], out=out)


def _key(part: Any) -> str:
    """Write a part of an index as it is written between brackets."""
    if part is Ellipsis:
        return "..."
    if isinstance(part, slice):
        ends = ("" if end is None else str(end) for end in (part.start, part.stop, part.step))
        return ":".join(ends).removesuffix(":") if part.step is None else ":".join(ends)
    return repr(part)


def _indented(lines: Any) -> list[str]:
    return [f"    {line}" for line in lines]
