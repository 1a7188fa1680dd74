"""Recording: arrays without values that write down what is done to them."""

from collections.abc import Callable
from typing import Any, Never, TypeAlias

import numpy as np

from koubai.compile.blame import cannot
from koubai.compile.operations import NUMBERS, arrays_in, emptied, infer
from koubai.compile.plan import Operand, Operation, Value
from koubai.typing import Namespace, Shape

__all__ = ["Recorded", "Recording"]

_Function: TypeAlias = Callable[..., Any]


class Recording:
    """
    What is being written down, and the namespace of the arrays that do the writing.

    Parameters
    ----------
    xp : Namespace
        The array library for which it is recorded: NumPy, or one that works alike.
    namespace : Namespace
        The functions that write down.
    """

    def __init__(self, xp: Namespace, namespace: Namespace) -> None:
        self.xp = xp
        self.namespace = namespace
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

    def write_call(self, name: str, args: tuple[Any, ...], options: Any) -> "Recorded":
        """Write down a function of which only this is known: it gives one array."""
        arrays = arrays_in((args, options))
        return self.write("call", *arrays, label=name, form=emptied((args, options)))

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

    def __array_namespace__(self, *, api_version: str | None = None) -> Namespace:
        """Give the namespace whose functions write down."""
        del api_version
        return self.recording.namespace

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
            return self.recording.write("take", self, keys[0], axis=0)
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
        return getattr(self.recording.namespace, function.__name__)(*args)

    def __array_function__(
        self, function: Any, _: Any, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        """Write down NumPy's own functions, called by name."""
        name = function.__name__
        if getattr(np.linalg, name, None) is function:
            return self.recording.write_call(f"linalg.{name}", args, options)
        if getattr(np, name, None) is not function:
            raise _use_namespace(f"{function.__module__}.{name}, which is not recorded")
        return getattr(self.recording.namespace, name)(*args, **options)

    def __getattr__(self, name: str) -> Never:
        raise AttributeError(
            f"A recorded array has no {name!r}, nor has an array in the standard. Functions of the "
            f"namespace do it: xp = koubai.array_namespace(x), then xp.{name}(x, ...)."
        )


def _use_namespace(what: str) -> Exception:
    return cannot(
        f"calls {what}",
        "Take the namespace from the array, xp = koubai.array_namespace(x), and call its function.",
    )
