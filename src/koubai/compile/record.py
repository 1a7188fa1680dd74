"""Recording: arrays without values that write down what is done to them."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Never, TypeAlias

import numpy as np

from koubai.arrays import NUMPY
from koubai.compile.blame import cannot
from koubai.compile.operations import (
    NUMBERS,
    REDUCTIONS,
    arrays_in,
    axes_of,
    elementwise,
    emptied,
    infer,
)
from koubai.compile.plan import Operand, Operation, Plan, Value
from koubai.typing import Axis, Namespace, Shape

__all__ = ["Recorded", "Recording", "flatten", "record", "unflatten"]

_Function: TypeAlias = Callable[..., Any]


class Recording:
    """
    What is being written down, and the namespace of the arrays that do the writing.

    Parameters
    ----------
    xp : Namespace
        The array library for which it is recorded: NumPy, or one that works alike.
    """

    def __init__(self, xp: Namespace = NUMPY) -> None:
        self.xp = xp
        self.operations: list[Operation] = []
        self.constants: dict[int, tuple[Any, Value]] = {}

    def leaf(self, given: Any) -> "Recorded":
        """Give what stands for an array or a number that is there from the start."""
        if isinstance(given, (int, float)):
            return Recorded(self, Value((), None, type(given)))
        value = Value(tuple(given.shape), np.dtype(given.dtype))
        return Recorded(self, value, getattr(given, "device", None))

    def write(self, name: str, *args: Any, **options: Any) -> "Recorded":
        """Write down an operation, and give what stands for its result."""
        operands = tuple(map(self.operand, args))
        result = infer(name, operands, options)
        self.operations.append(Operation(name, operands, options, result))
        return Recorded(self, result)

    def operand(self, arg: Any) -> Operand:
        """Give the value of a recorded array; an array from elsewhere becomes a constant."""
        if isinstance(arg, Recorded):
            return arg.value
        if isinstance(arg, (bool, int, float, complex)) and not isinstance(arg, np.generic):
            return arg
        return self.constant(arg if hasattr(arg, "__setitem__") else np.asarray(arg))

    def constant(self, array: Any) -> Value:
        """Give the value of an array that is not recorded."""
        if id(array) not in self.constants:
            self.constants[id(array)] = (array, Value(tuple(array.shape), np.dtype(array.dtype)))
        return self.constants[id(array)][1]


def record(
    function: _Function, state: Mapping[str, Any], inputs: Mapping[str, Any], xp: Namespace = NUMPY
) -> tuple[Plan, Any]:
    """
    Run a function once on recording arrays.

    Parameters
    ----------
    function : callable
        A pure function ``(state, *inputs) -> (state, outputs)``.
    state : dict of str to array or number
        What goes from run to run.
    inputs : dict of str to array or number
        What is handed over at each run. Only shapes and dtypes are looked at.
    xp : Namespace
        The library of the arrays.

    Returns
    -------
    plan : Plan
        Every operation, as it was done.
    outputs
        What the function returned, with a number in the place of each array: where it
        stands in ``plan.outputs``.

    Raises
    ------
    CompileError
        If the function does what cannot be recorded once for all values.
    """
    recording = Recording(xp)
    leaves = {name: recording.leaf(given) for name, given in inputs.items()}
    kept = {name: recording.leaf(given) for name, given in state.items()}
    before = {name: leaf.value for name, leaf in leaves.items()}
    old = {name: leaf.value for name, leaf in kept.items()}
    new, returned = function(dict(kept), *leaves.values())
    outputs: list[Any] = []
    form = flatten(returned, outputs)
    values = [_value(recording, output) for output in outputs]
    updates = {name: _value(recording, array) for name, array in new.items()}
    return Plan(
        inputs=before,
        state=old,
        constants={value: array for array, value in recording.constants.values()},
        operations=tuple(recording.operations),
        outputs=tuple(values),
        updates={name: value for name, value in updates.items() if value is not old.get(name)},
    ), form


def flatten(returned: Any, into: list[Any]) -> Any:
    """Take the arrays out of tuples, lists and dicts, and leave their numbers there."""
    if isinstance(returned, (tuple, list)):
        return _like(returned, [flatten(each, into) for each in returned])
    if isinstance(returned, dict):
        return {key: flatten(each, into) for key, each in returned.items()}
    if returned is None:
        return None
    into.append(returned)
    return len(into) - 1


def unflatten(form: Any, values: Any) -> Any:
    """Put arrays in the places where `flatten` left their numbers."""
    if isinstance(form, (tuple, list)):
        return _like(form, [unflatten(each, values) for each in form])
    if isinstance(form, dict):
        return {key: unflatten(each, values) for key, each in form.items()}
    return None if form is None else values[form]


def _like(form: Any, parts: list[Any]) -> Any:
    """Make a list, a tuple or a named tuple of the parts."""
    if isinstance(form, list):
        return parts
    return type(form)(*parts) if hasattr(form, "_fields") else tuple(parts)


def _value(recording: Recording, array: Any) -> Value:
    operand = recording.operand(array)
    if isinstance(operand, Value):
        return operand
    return recording.write("positive", operand).value


def _plain_key(key: Any) -> Any:
    """Give a part of an index as a Python number, a slice or an array."""
    if isinstance(key, list):
        return np.asarray(key)
    return int(key) if isinstance(key, np.integer) else key


def _operator(name: str, *, reflected: bool = False) -> _Function:
    def method(self: "Recorded", other: Any) -> Any:
        if other is not None and not _may_meet(other):
            return NotImplemented
        return self._meet(name, other, self) if reflected else self._meet(name, self, other)

    return method


def _changer(name: str) -> _Function:
    """Make the method that changes an array for all who hold it, as a += b does."""

    def method(self: "Recorded", other: Any) -> Any:
        if not _may_meet(other):
            return NotImplemented
        changed = self._meet(name, self, other)
        if self.dtype is None:  # a number is never changed, only exchanged
            return changed
        if changed.shape != self.shape:
            raise ValueError(f"{name} in place: {changed.shape} does not fit into {self.shape}.")
        if changed.dtype != self.dtype:
            changed = self.recording.write("astype", changed, dtype=self.dtype)
        self.value = changed.value
        return self

    return method


def _may_meet(other: Any) -> bool:
    return isinstance(other, (Recorded, int, float, complex)) or hasattr(other, "dtype")


class Recorded:
    """
    An array, or a number, that has no values yet: what is done to it is written down.

    It follows the Array API standard as far as it can without values; where a value
    would be needed, it raises a CompileError that shows the line.
    """

    def __init__(self, recording: Recording, value: Value, device: Any = None) -> None:
        self.recording = recording
        self.value = value
        self._device = device

    def __repr__(self) -> str:
        if self.value.dtype is None:
            return "a recorded number"
        return f"recorded {self.value.dtype} {self.value.shape}"

    def __array_namespace__(self, *, api_version: str | None = None) -> "RecordingNamespace":
        """Give the namespace whose functions write down."""
        del api_version
        return namespace_for(self.recording.xp)

    @property
    def shape(self) -> Shape:
        """The shape."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.value.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.value.size

    @property
    def dtype(self) -> Any:
        """The dtype."""
        return self.value.dtype

    @property
    def device(self) -> Any:
        """The device of the array that was handed over; None for what was made of it."""
        return self._device

    @property
    def T(self) -> "Recorded":  # noqa: N802
        """The transpose of a matrix."""
        return self.recording.write("permute_dims", self, axes=tuple(range(self.ndim))[::-1])

    @property
    def mT(self) -> "Recorded":  # noqa: N802
        """The transpose of the last two axes."""
        axes = (*range(self.ndim - 2), self.ndim - 1, self.ndim - 2)
        return self.recording.write("permute_dims", self, axes=axes)

    def _meet(self, name: str, *args: Any) -> "Recorded":
        numbers = all(getattr(arg, "dtype", None) is None for arg in args)
        if numbers and name not in NUMBERS:
            raise cannot(
                f"asks for {name.replace('_', ' ')} of numbers that change from step to step",
                "A compiled step takes the optimizer's numbers as they are at each step. "
                "Arithmetic with + - * / ** is recorded; decide outside of the step.",
            )
        return self.recording.write(name, *args)

    __add__, __radd__ = _operator("add"), _operator("add", reflected=True)
    __sub__, __rsub__ = _operator("subtract"), _operator("subtract", reflected=True)
    __mul__, __rmul__ = _operator("multiply"), _operator("multiply", reflected=True)
    __truediv__, __rtruediv__ = _operator("divide"), _operator("divide", reflected=True)
    __floordiv__ = _operator("floor_divide")
    __rfloordiv__ = _operator("floor_divide", reflected=True)
    __mod__, __rmod__ = _operator("remainder"), _operator("remainder", reflected=True)
    __pow__, __rpow__ = _operator("power"), _operator("power", reflected=True)
    __matmul__, __rmatmul__ = _operator("matmul"), _operator("matmul", reflected=True)
    __and__, __rand__ = _operator("bitwise_and"), _operator("bitwise_and", reflected=True)
    __or__, __ror__ = _operator("bitwise_or"), _operator("bitwise_or", reflected=True)
    __xor__, __rxor__ = _operator("bitwise_xor"), _operator("bitwise_xor", reflected=True)
    __lshift__, __rshift__ = _operator("left_shift"), _operator("right_shift")
    __lt__, __le__ = _operator("less"), _operator("less_equal")
    __gt__, __ge__ = _operator("greater"), _operator("greater_equal")
    __eq__, __ne__ = _operator("equal"), _operator("not_equal")
    __iadd__, __isub__ = _changer("add"), _changer("subtract")
    __imul__, __itruediv__ = _changer("multiply"), _changer("divide")
    __hash__ = None  # type: ignore[assignment]

    def watch(self, check: _Function, *others: "Recorded") -> None:
        """At this point of every run, let ``check(*others)`` raise if this is no finite number."""
        values = (self.value, *(other.value for other in others))
        done = Value((), None, float)
        self.recording.operations.append(Operation("watch", values, {"check": check}, done))

    def __neg__(self) -> "Recorded":
        return self._meet("negative", self)

    def __abs__(self) -> "Recorded":
        return self._meet("absolute", self)

    def __pos__(self) -> "Recorded":
        return self

    def __invert__(self) -> "Recorded":
        return self._meet("invert", self)

    def __getitem__(self, key: Any) -> "Recorded":
        given = key if isinstance(key, tuple) else (key,)
        keys = tuple(map(_plain_key, given))
        if any(isinstance(each, Recorded) and each.dtype == bool for each in keys):
            raise cannot(
                "picks elements by a mask, so that the shape depends on the data",
                "Write xp.where(mask, x, 0.0), or multiply by the mask: the shape stays.",
            )
        if any(hasattr(each, "dtype") for each in keys):
            if len(keys) > 1 or keys[0].ndim == 0:
                raise cannot(
                    "indexes with several arrays at once",
                    "Write xp.take(x, indices, axis=...), or the product with xp.eye's rows.",
                )
            taken: Recorded = _take(self, keys[0], axis=0)
            return taken
        if Ellipsis not in keys:  # so that one element is an array too
            keys = (*keys, Ellipsis)
        return self.recording.write("getitem", self, key=keys)

    def __len__(self) -> int:
        return self.shape[0]

    def __setitem__(self, key: Any, value: Any) -> Never:
        raise cannot(
            "writes into an array",
            "Make a new array instead: xp.where(mask, a, b), or "
            "array_api_extra.at(x)[index].set(values).",
        )

    def __bool__(self) -> Never:
        raise cannot(
            "decides by a value of an array (if, while, and, or, assert)",
            "A compiled step does the same for all values. Write xp.where(condition, a, b), or "
            "decide before the step.",
        )

    def _read(self, *_: Any, **__: Any) -> Never:
        raise cannot(
            "reads a value on the host",
            "While a step is recorded there are no values yet. Keep it an array (of shape () where "
            "it is one number), and read it after the step.",
        )

    __float__ = __int__ = __complex__ = __index__ = __array__ = _read
    __dlpack__ = item = tolist = _read

    def __iter__(self) -> Never:
        raise cannot(
            "walks through an array, element by element",
            "Write the operation for the whole array, or x[i, ...] for a fixed number of rows.",
        )

    def __array_ufunc__(self, function: Any, method: str, *args: Any, **options: Any) -> Any:
        """Write down NumPy's own functions, as operators of its arrays call them."""
        out = options.pop("out", None)
        into_itself = out is None or (len(out) == 1 and out[0] is args[0])  # as a += b does
        if method != "__call__" or options or not into_itself:
            raise _use_namespace(f"numpy.{function.__name__} with out=, where= or dtype=")
        if function.signature is None or function.__name__ == "matmul":
            return self._meet(function.__name__, *args)
        return getattr(namespace_for(self.recording.xp), function.__name__)(*args)

    def __array_function__(
        self, function: Any, _: Any, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        """Write down NumPy's own functions, called by name."""
        name = function.__name__
        if getattr(np.linalg, name, None) is function:
            return _anything(self.recording, f"linalg.{name}", *args, **options)
        if getattr(np, name, None) is not function:
            raise _use_namespace(f"{function.__module__}.{name}, which is not recorded")
        return getattr(namespace_for(NUMPY), name)(*args, **options)

    def __getattr__(self, name: str) -> Never:
        raise AttributeError(
            f"A recorded array has no {name!r}, nor has an array in the standard. Functions of the "
            f"namespace do it: xp = koubai.array_namespace(x), then xp.{name}(x, ...)."
        )


class RecordingNamespace:
    """
    The functions of the standard, which write down when a recorded array is among them.

    Parameters
    ----------
    xp : Namespace
        The library for which it is recorded. What has no recorded array among its
        arguments, such as ``arange``, is done by it at once.
    """

    def __init__(self, xp: Namespace) -> None:
        self.records = xp
        self.__name__ = f"recording {getattr(xp, '__name__', xp)}"

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.records, name)
        if not callable(found) or isinstance(found, type):
            return found
        if name in _SHAPE_OF_DATA:
            return _shape_of_data(name)
        return partial(self._call, name)

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        recorded = [arg for arg in arrays_in((args, options)) if isinstance(arg, Recorded)]
        if not recorded:
            return getattr(self.records, name)(*args, **options)
        ours = _OURS.get(name)
        if ours is not None:
            return ours(*args, **options)
        host = getattr(np, name, None)
        known = getattr(host, "__name__", name)
        recording = recorded[0].recording
        if (elementwise(known) or known == "matmul") and not options:
            return recording.write(known, *args)
        if name in REDUCTIONS:
            return _reduce(recording, name, *args, **options)
        return _anything(recording, name, *args, **options)

    def asarray(
        self, obj: Any, /, *, dtype: Any = None, device: Any = None, copy: Any = None
    ) -> Any:
        """Make an array of anything but a recorded array, which is one."""
        if not isinstance(obj, Recorded):
            return self.records.asarray(obj, dtype=dtype, device=device, copy=copy)
        if obj.dtype is None:
            array = self.records.asarray(1, dtype=dtype or float, device=device)
            return array * obj
        return obj if dtype is None else self.astype(obj, dtype)

    def astype(self, x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
        """Change the dtype."""
        if not isinstance(x, Recorded):
            return self.records.astype(x, dtype, copy=copy)
        del device
        return x if x.dtype == dtype else x.recording.write("astype", x, dtype=np.dtype(dtype))

    def reshape(self, x: Any, /, shape: Shape, *, copy: bool | None = None) -> Any:
        """Change the shape."""
        del copy
        return x.recording.write("reshape", x, shape=tuple(shape))

    def matrix_transpose(self, x: Any, /) -> Any:
        """Exchange the last two axes."""
        axes = (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
        return self.permute_dims(x, axes)

    def permute_dims(self, x: Any, /, axes: tuple[int, ...]) -> Any:
        """Bring the axes into another order."""
        axes = tuple(axis % x.ndim for axis in axes)
        if not isinstance(x, Recorded):
            return self.records.permute_dims(x, axes)
        return x.recording.write("permute_dims", x, axes=axes)


@cache
def namespace_for(xp: Namespace) -> RecordingNamespace:
    """Give the one recording namespace of a library."""
    return RecordingNamespace(xp)


def _reduce(
    recording: Recording,
    name: str,
    x: Any,
    /,
    *,
    axis: Axis = None,
    keepdims: bool = False,
    dtype: Any = None,
) -> Recorded:
    x = x if dtype is None else namespace_for(recording.xp).astype(x, dtype)
    return recording.write(name, x, axis=axes_of(axis, x.ndim), keepdims=keepdims)


def _anything(recording: Recording, name: str, *args: Any, **options: Any) -> Recorded:
    """Write down a function of which only this is known: it gives one array."""
    arrays = arrays_in((args, options))
    return recording.write("call", *arrays, label=name, form=emptied((args, options)))


def _of(x: Recorded) -> RecordingNamespace:
    return namespace_for(x.recording.xp)


def _expand_dims(x: Recorded, /, *, axis: int = 0) -> Any:
    axis = axis % (x.ndim + 1)
    return _of(x).reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def _squeeze(x: Recorded, /, axis: int | tuple[int, ...]) -> Any:
    gone = axes_of(axis, x.ndim)
    return _of(x).reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in gone))


def _broadcast_to(x: Recorded, /, shape: Shape) -> Any:
    return x.recording.write("broadcast_to", x, shape=tuple(shape))


def _where(condition: Any, x1: Any, x2: Any, /) -> Any:
    recording = next(arg.recording for arg in (condition, x1, x2) if isinstance(arg, Recorded))
    return recording.write("where", condition, x1, x2)


def _take(x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
    recording = next(arg.recording for arg in (x, indices) if isinstance(arg, Recorded))
    return recording.write("take", x, indices, axis=(axis or 0) % x.ndim)


def _clip(x: Any, /, min: Any = None, max: Any = None) -> Any:  # noqa: A002  (the standard's names)
    xp = _of(next(arg for arg in (x, min, max) if isinstance(arg, Recorded)))
    x = x if min is None else xp.maximum(x, min)
    return x if max is None else xp.minimum(x, max)


def _mean(x: Recorded, /, *, axis: Axis = None, keepdims: bool = False) -> Any:
    count = 1
    for each in axes_of(axis, x.ndim):
        count *= x.shape[each]
    return _reduce(x.recording, "sum", x, axis=axis, keepdims=keepdims) / count


def _made_like(name: str, x: Recorded, /, *args: Any, dtype: Any = None, device: Any = None) -> Any:
    make = getattr(x.recording.xp, name)
    place = x.device if device is None else device
    made = make(x.shape, *args, dtype=dtype or x.dtype, device=place)
    return Recorded(x.recording, x.recording.constant(made), place)


def _of_dtypes(name: str) -> _Function:
    def function(*args: Any, **options: Any) -> Any:
        return getattr(np, name)(*(getattr(arg, "dtype", arg) for arg in args), **options)

    return function


_OURS: Mapping[str, _Function] = {
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "broadcast_to": _broadcast_to,
    "where": _where,
    "take": _take,
    "clip": _clip,
    "mean": _mean,
    "zeros_like": partial(_made_like, "zeros"),
    "ones_like": partial(_made_like, "ones"),
    "empty_like": partial(_made_like, "zeros"),
    "full_like": partial(_made_like, "full"),
    "result_type": _of_dtypes("result_type"),
    "can_cast": _of_dtypes("can_cast"),
    "finfo": _of_dtypes("finfo"),
    "iinfo": _of_dtypes("iinfo"),
}

_SHAPE_OF_DATA = frozenset(
    {"nonzero", "argwhere", "flatnonzero", "unique", "extract", "compress"}
    | {"unique_all", "unique_counts", "unique_inverse", "unique_values"}
)


def _shape_of_data(name: str) -> _Function:
    def function(*_: Any, **__: Any) -> Never:
        raise cannot(
            f"calls {name}, whose shape depends on the data",
            "Write it with a mask instead: xp.where(mask, x, 0.0) keeps the shape.",
        )

    return function


def _use_namespace(what: str) -> Exception:
    return cannot(
        f"calls {what}",
        "Take the namespace from the array, xp = koubai.array_namespace(x), and call its function.",
    )
