"""What is known of each operation: what kind it is, and what shape and dtype it gives."""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from koubai.compile.plan import Operand, Operation, Value
from koubai.typing import Shape

__all__ = [
    "LARGE",
    "NUMBERS",
    "REDUCTIONS",
    "VIEWS",
    "arrays_in",
    "axes_of",
    "base_of",
    "call",
    "elementwise",
    "emptied",
    "flops",
    "has_few_terms",
    "infer",
    "layouts",
    "view",
]

_Array = npt.NDArray[Any]

VIEWS = frozenset({"reshape", "permute_dims", "broadcast_to", "getitem", "bitcast"})
"""Operations that look at an array in another way, where its layout allows."""

REDUCTIONS = {
    "sum": "add",
    "prod": "multiply",
    "max": "maximum",
    "min": "minimum",
    "all": "logical_and",
    "any": "logical_or",
}
"""Operations along axes, and the function of two numbers that each repeats."""

NUMBERS: Mapping[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "power": operator.pow,
    "negative": operator.neg,
    "positive": operator.pos,
    "absolute": operator.abs,
}
"""Operations on Python numbers alone, done by Python itself."""

LARGE = 1 << 19
"""Bytes of a result that does not stay in the cache, so that blocks of it are worth their calls."""

_FEW_TERMS = 16  # of a product that takes longer to be written than to be computed
_HOLE = object()
_NOT_UFUNCS = frozenset({"where", "astype"})


def elementwise(name: str) -> bool:
    """Tell whether an operation goes element by element."""
    return name in _NOT_UFUNCS or ufunc(name) is not None


def has_few_terms(operation: Operation) -> bool:
    """Tell whether this is a large product of many rows with few terms to an element."""
    result = operation.result
    if operation.name != "matmul" or len(result.shape) != 2 or result.bytes < LARGE:
        return False
    terms = next(operation.reads).shape[-1]
    return terms <= _FEW_TERMS and 8 * terms <= result.shape[0]


def ufunc(name: str) -> np.ufunc | None:
    """Give NumPy's function of this name, if it is one that goes element by element."""
    found = getattr(np, name, None)
    if not isinstance(found, np.ufunc) or found.signature is not None:
        return None
    return found if found.nout == 1 and found.nin <= 2 else None


def view(operation: Operation, array: Any) -> Any:
    """Look at an array as a view operation says."""
    options = operation.options
    match operation.name:
        case "reshape":
            return array.reshape(options["shape"])
        case "permute_dims":
            return array.transpose(options["axes"])
        case "broadcast_to":
            return np.broadcast_to(array, options["shape"])
        case "getitem":
            return array[options["key"]]
        case _:
            return array.view(options["dtype"])


def infer(  # noqa: PLR0911  (a table of rules)
    name: str, args: Sequence[Operand], options: Mapping[str, Any]
) -> Value:
    """
    Tell the shape and dtype of what an operation gives, without doing it at full size.

    Parameters
    ----------
    name, args, options
        As in `Operation`.

    Returns
    -------
    Value
        A new value.

    Raises
    ------
    Exception
        What NumPy raises where the operands do not go together.
    """
    arrays = [arg for arg in args if isinstance(arg, Value) and arg.dtype is not None]
    if not arrays:
        return Value((), None, type(NUMBERS[name](*map(_sample, args))))
    with np.errstate(all="ignore"):
        if name in {"astype", "bitcast"}:
            return replace(arrays[0], dtype=np.dtype(options["dtype"]))
        if name in VIEWS:
            blank = np.empty(arrays[0].shape, arrays[0].dtype)
            return _like(view(Operation(name, tuple(args), options, arrays[0]), blank))
        if name == "matmul":
            dtype = np.matmul(*(np.ones((1, 1), array.dtype) for array in arrays)).dtype
            return Value(_matmul_shape(*(array.shape for array in arrays)), dtype)
        if name in REDUCTIONS:
            return _reduced(name, arrays[0], options)
        if name == "take":
            x, indices = arrays
            at = options["axis"]
            return Value((*x.shape[:at], *indices.shape, *x.shape[at + 1 :]), x.dtype)
        samples = [_sample(arg) for arg in args]
        if elementwise(name):
            shape = np.broadcast_shapes(*(array.shape for array in arrays))
            by_columns = any(array.by_columns and array.shape == shape for array in arrays)
            dtype = np.asarray(getattr(np, name)(*samples)).dtype
            return Value(shape, dtype, by_columns=by_columns)
        whole = [_blank(arg) if isinstance(arg, Value) else arg for arg in args]
        return _like(np.asarray(call(np, options, whole)))


def call(xp: Any, options: Mapping[str, Any], values: Sequence[Any]) -> Any:
    """Call a function of which nothing is known, with the values in their places."""
    args, named = _refilled(options["form"], iter(values))
    return operator.attrgetter(options["label"])(xp)(*args, **named)


def arrays_in(given: Any) -> list[Any]:
    """Give the arrays among arguments, in tuples, lists and dicts as well."""
    if isinstance(given, dict):
        given = tuple(given.values())
    if isinstance(given, (tuple, list)):
        return [array for each in given for array in arrays_in(each)]
    return [given] if hasattr(given, "dtype") and not isinstance(given, type) else []


def emptied(given: Any) -> Any:
    """Give arguments with a hole in the place of every array."""
    if isinstance(given, (tuple, list)):
        return type(given)(map(emptied, given))
    if isinstance(given, dict):
        return {key: emptied(each) for key, each in given.items()}
    return _HOLE if arrays_in(given) else given


def layouts(plan: Any) -> dict[Value, _Array]:
    """
    Give for every value of a plan a blank array that lies in memory as the value will.

    Views lie as their array makes them. The memory is never touched, so it costs nothing.
    """
    found: dict[Value, _Array] = {}
    for value in (*plan.inputs.values(), *plan.state.values(), *plan.constants):
        if value.dtype is not None:
            found[value] = np.empty(value.shape, value.dtype)
    for operation in plan.operations:
        value = operation.result
        if operation.name in VIEWS and value.dtype is not None:
            found[value] = view(operation, found[next(operation.reads)])
        elif value.dtype is not None:
            found[value] = np.empty(
                value.shape, value.dtype, order="F" if value.by_columns else "C"
            )
    return found


def base_of(makers: Mapping[Value, Operation], value: Value) -> Value:
    """Give the array that a view looks at, through any number of views."""
    while value in makers and makers[value].name in VIEWS:
        value = next(makers[value].reads)
    return value


def flops(operation: Operation) -> int:  # noqa: PLR0911  (a table of rules)
    """Count the floating-point operations of an operation; a function of an element is one."""
    size = operation.result.size
    match operation.name:
        case "matmul":
            return 2 * size * _matrix(operation.args[0]).shape[-1]
        case "gemm":
            return 2 * size * (_matrix(operation.args[1]).shape[-1] + 1)
        case "dot" | "dot_of_nonzero":
            return 2 * _matrix(operation.args[0]).size
        case name if name in VIEWS or operation.result.dtype is None:
            return 0
        case name if name in REDUCTIONS:
            return _matrix(operation.args[0]).size
        case "astype" | "copy" | "take" | "watch":
            return 0
        case _:
            return size


def _refilled(form: Any, values: Iterator[Any]) -> Any:
    if isinstance(form, (tuple, list)):
        return type(form)(_refilled(each, values) for each in form)
    if isinstance(form, dict):
        return {key: _refilled(each, values) for key, each in form.items()}
    return next(values) if form is _HOLE else form


def _matrix(arg: Operand) -> Value:
    assert isinstance(arg, Value)
    return arg


def _sample(arg: Operand) -> Any:
    """Give one element of an operand's dtype, or one number of its type."""
    if not isinstance(arg, Value):
        return arg
    return np.ones((1,), arg.dtype) if arg.number is None else arg.number(1)


def _blank(value: Value) -> Any:
    return _sample(value) if value.dtype is None else np.ones(value.shape, value.dtype)


def _like(array: _Array) -> Value:
    return Value(array.shape, array.dtype)


def _reduced(name: str, array: Value, options: Mapping[str, Any]) -> Value:
    axes = axes_of(options["axis"], len(array.shape))
    kept = (1 if axis in axes else size for axis, size in enumerate(array.shape))
    dropped = (size for axis, size in enumerate(array.shape) if axis not in axes)
    function = getattr(np, REDUCTIONS[name])
    dtype = function.reduce(np.ones(1, array.dtype)).dtype
    return Value(tuple(kept if options["keepdims"] else dropped), dtype)


def axes_of(axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """Give axes as numbers from 0 on; None is all of them."""
    if axis is None:
        return tuple(range(ndim))
    return np.lib.array_utils.normalize_axis_tuple(axis, ndim)


def _matmul_shape(a: Shape, b: Shape) -> Shape:
    rows, columns = a[-2:-1], b[-1:] if len(b) > 1 else ()
    if not a or not b or a[-1] != (b[-2] if len(b) > 1 else b[0]):
        raise ValueError(f"matmul: the shapes {a} and {b} do not go together.")
    return (*np.broadcast_shapes(a[:-2], b[:-2]), *rows, *columns)
