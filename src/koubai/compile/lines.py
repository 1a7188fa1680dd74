"""Lines: what each operation of a plan is written as, in Python."""

from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from koubai.compile.operations import REDUCTIONS, VIEWS, call, ufunc, view
from koubai.compile.plan import Operand, Operation, Value
from koubai.compile.scope import NUMBER_SIGNS, Scope

__all__ = ["PAIRS", "lines_of"]

_Array = npt.NDArray[Any]
_Writer: TypeAlias = Callable[[Scope, Operation, str], Iterator[str]]

_NUMBER_PREFIXES = {"negative": "-", "positive": "+", "absolute": "abs"}
PAIRS = frozenset({"maximum", "minimum"})  # NumPy takes twice as long at an array and a number
_FILLED = 1 << 15  # bytes: np.dot, the shorter call, fills its result with zeros first


def lines_of(scope: Scope, operation: Operation) -> Iterator[str]:
    """
    Write an operation, in a line as a rule.

    Parameters
    ----------
    scope : Scope
        What the lines know; names that they need are added.
    operation : Operation
        One of its plan.

    Yields
    ------
    str
        A line of Python.
    """
    result = operation.result
    if operation.name in VIEWS and result.dtype is not None:
        yield from _view(scope, operation)
    elif operation.name == "watch":
        yield from _watch(scope, operation)
    elif scope.is_lone_number(operation):
        first, second = operation.args
        a = scope.operand(first) + ("" if first in scope.late else "[()]")
        sign = NUMBER_SIGNS[operation.name]
        yield f"{scope.names[result]} = {a} {sign} {scope.operand(second)}"
    elif result.dtype is None:
        yield f"{scope.names[result]} = {_arithmetic(scope, operation)}"
    else:
        if scope.memory.storage[result].kind == "output":
            dtype = scope.know(result.dtype, str(result.dtype))
            yield f"{scope.names[result]} = empty({result.shape}, {dtype})"
        elif result not in scope.cut:
            scope.place(result)
        writer = _WRITERS.get(operation.name, _ufunc)
        yield from writer(scope, operation, scope.operand(result))


def _arithmetic(scope: Scope, operation: Operation) -> str:
    args = [scope.operand(arg) for arg in operation.args]
    if len(args) == 2:
        return f"{args[0]} {NUMBER_SIGNS[operation.name]} {args[1]}"
    return f"{_NUMBER_PREFIXES[operation.name]}({args[0]})"


def _watch(scope: Scope, operation: Operation) -> Iterator[str]:
    """Write a look at a number, in the middle of the run, for the errors it may raise."""
    scope.known["isfinite"] = isfinite
    check = scope.know(operation.options["check"], "check")
    loss, *others = map(scope.operand, operation.args)
    yield f"if not isfinite({loss}):"
    yield f"    {check}({', '.join(others)})"


def _view(scope: Scope, operation: Operation) -> Iterator[str]:
    (source,) = operation.reads
    result = operation.result
    if source not in scope.late:
        scope.arrays[result] = view(operation, scope.arrays[source])
        return
    readers = scope.readers.get(result, ())
    turned = operation.name in {"permute_dims", "reshape"} and result not in scope.plan.results
    if (
        turned
        and scope.products.from_the_start
        and all(reader.name == "gemm" and reader.args[0] is not result for reader in readers)
    ):
        return  # it is the address that is asked for
    yield f"{scope.names[result]} = {_looked_at(scope, operation, scope.operand(source))}"


def _looked_at(scope: Scope, operation: Operation, array: str) -> str:
    """Write a view of an array that is known only when the plan runs."""
    options = operation.options
    match operation.name:
        case "reshape":
            return f"{array}.reshape({options['shape']})"
        case "permute_dims":
            return f"{array}.transpose({options['axes']})"
        case "broadcast_to":
            return f"{scope.knows('broadcast_to')}({array}, {options['shape']})"
        case "getitem":
            return f"{array}[{', '.join(map(_key, options['key']))},]"
        case _:
            return f"{array}.view({scope.know(options['dtype'], 'dtype')})"


# Operations that fill an array


def _ufunc(scope: Scope, operation: Operation, _: str) -> Iterator[str]:
    scalar = _common_dtype(operation)
    pair = operation.name in PAIRS and scope.library is np
    out, *told = scope.lined_up(operation.result, *operation.args, scalar=scalar, pair=pair)
    yield f"{scope.knows(operation.name)}({', '.join(told)}, out={out})"


def _copy(scope: Scope, operation: Operation, out: str) -> Iterator[str]:
    source = _value(operation.args[0])
    safe = np.can_cast(source.dtype, operation.result.dtype, "same_kind")
    how = "" if safe else ', casting="unsafe"'
    yield f"{scope.knows('copyto')}({out}, {scope.operand(source)}{how})"


def _call(scope: Scope, operation: Operation, out: str) -> Iterator[str]:
    label = operation.options["label"].replace(".", "_")
    function = scope.know(_caller(scope.library, operation.options), label)
    told = ", ".join(map(scope.operand, operation.args))
    yield f"{scope.knows('copyto')}({out}, {function}({told}))"


def _reduction(scope: Scope, operation: Operation, out: str) -> Iterator[str]:
    axes, name = operation.options["axis"], operation.name
    axis = axes[0] if len(axes) == 1 else axes
    keep = ", keepdims=True" if operation.options["keepdims"] else ""
    of_library = scope.library is np
    function = getattr(np, REDUCTIONS[name]).reduce if of_library else getattr(scope.library, name)
    source = _value(operation.args[0])
    array = scope.operand(source)
    if source.by_columns and axis in {0, 1} and source not in scope.late:
        array, out, axis = scope.turned(source), scope.turned(operation.result), 1 - axis
    yield f"{scope.know(function, name)}({array}, axis={axis}, out={out}{keep})"


def _matmul(scope: Scope, operation: Operation, out: str) -> Iterator[str]:
    a, b = operation.reads
    c, lies = operation.result, scope.memory.lies
    if len(a.shape) != 2 or len(b.shape) != 2:
        yield from _ufunc(scope, operation, out)
    elif scope.library is np and not scope.cut and scope.products.takes(lies[c], lies[a], lies[b]):
        yield from _by_blas(scope, c, a, b, 1.0, 0.0)
    else:
        function = scope.knows("matmul" if scope.library is np and c.bytes > _FILLED else "dot")
        told = [scope.operand(a), scope.operand(b)]
        if c.by_columns:
            told, out = [scope.turned(b), scope.turned(a)], scope.turned(c)
        yield f"{function}({', '.join(told)}, out={out})"


def _careful_dot(scope: Scope, operation: Operation, out: str) -> Iterator[str]:
    a, w = map(scope.operand, operation.args)
    scope.known["isfinite"] = isfinite
    yield f"{scope.knows('dot')}({a}, {w}, out={out})"
    yield f"if not isfinite({out}):"
    yield f"    {scope.know(_dot_of_nonzero, 'dot_of_nonzero')}({a}, {w}, out={out})"


def _take(scope: Scope, operation: Operation, out: str) -> Iterator[str]:
    """Write a look-up in a table."""
    table, indices = (scope.operand(arg) for arg in operation.args)
    axis = operation.options["axis"]
    if operation.result.by_columns:
        table, out = map(scope.turned, (_value(operation.args[0]), operation.result))
        axis = 1 - axis
    if scope.library is np:
        mode = operation.options.get("mode", "raise")
        yield f'{table}.take({indices}, {axis}, {out}, "{mode}")'
    else:
        yield f"{scope.knows('take')}({table}, {indices}, axis={axis}, out={out})"


def _where(scope: Scope, operation: Operation, out: str) -> Iterator[str]:
    mask, yes, no = operation.args
    copyto, storage = scope.knows("copyto"), scope.memory.storage
    in_place = isinstance(no, Value) and storage.get(no) is storage[operation.result]
    if not in_place:
        yield f"{copyto}({out}, {scope.operand(no)})"
    yield f"{copyto}({out}, {scope.operand(yes)}, where={scope.operand(mask)})"


def _gemm(scope: Scope, operation: Operation, _: str) -> Iterator[str]:
    c, a, b, alpha, beta = operation.args
    result, storage = operation.result, scope.memory.storage
    if storage[_value(c)] is not storage[result]:
        yield f"{scope.knows('copyto')}({', '.join(scope.lined_up(result, c))})"
    yield from _by_blas(scope, result, _value(a), _value(b), alpha, beta)


def _by_blas(
    scope: Scope, c: Value, a: Value, b: Value, alpha: Operand, beta: Operand
) -> Iterator[str]:
    """Write C = alpha A B + beta C."""
    real = scope.products.real(c.dtype)
    told = []
    for number in (alpha, beta):
        name = f"c_{scope.operand(number)}" if isinstance(number, Value) else ""
        if not name:
            name = scope.know(real(number), "number")
        elif name not in scope.told:
            scope.told.add(name)
            yield f"{name} = {scope.know(real, 'real')}({scope.operand(number)})"
        told.append(name)
    lies = [scope.memory.lies[value] for value in (c, a, b)]
    for value in (c, a, b):
        array = _laid(scope, value)
        told.append(f"{scope.names[array]}_at")
        held = scope.operand(array)  # the array stays alive as long as its address is known
        if array not in scope.late:
            scope.known[told[-1]] = scope.products.address(scope.arrays[array])
        elif told[-1] not in scope.told:
            scope.told.add(told[-1])
            scope.known["address"] = scope.products.address
            yield f"{told[-1]} = address({held})"
    yield f"{scope.know(scope.products.gemm(*lies), 'gemm')}({', '.join(told)})"


def _laid(scope: Scope, value: Value) -> Value:
    """Give the array that begins where a transpose of an input does."""
    while (
        scope.products.from_the_start
        and value in scope.late
        and value in scope.makers
        and scope.makers[value].name in {"permute_dims", "reshape"}
    ):
        value = next(scope.makers[value].reads)
    return value


_WRITERS: dict[str, _Writer] = {
    "gemm": _gemm,
    "dot_of_nonzero": _careful_dot,
    "matmul": _matmul,
    "copy": _copy,
    "astype": _copy,
    "where": _where,
    "take": _take,
    "call": _call,
    **dict.fromkeys(REDUCTIONS, _reduction),
}


def _common_dtype(operation: Operation) -> Any:
    """Give the dtype that numbers take in an operation, where it is that of all its arrays."""
    dtypes = {value.dtype for value in operation.reads if value.dtype is not None}
    (dtype, *others) = dtypes
    numbers = [arg for arg in operation.args if not isinstance(arg, Value)]
    whole = all(isinstance(number, int) for number in numbers)
    if others or ufunc(operation.name) is None or dtype.kind not in ("fiu" if whole else "f"):
        return None
    return dtype


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


def _value(arg: Operand) -> Value:
    assert isinstance(arg, Value)
    return arg
