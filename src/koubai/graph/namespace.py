"""The namespace of Variables: standard functions whose derivative a layer gives."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from koubai.errors import GraphError
from koubai.layers import (
    Abs,
    AddLayer,
    Cast,
    DivLayer,
    Exp,
    Log,
    MatMul,
    Max,
    Maximum,
    Mean,
    Min,
    Minimum,
    MulLayer,
    PowLayer,
    Reshape,
    SubLayer,
    Sum,
    Tanh,
    Transpose,
    Where,
)
from koubai.typing import Namespace

if TYPE_CHECKING:
    from koubai.graph.variable import Variable

__all__ = ["GraphNamespace", "namespace_of"]

# Without a derivative, or with one that is zero: the result is an array, no Variable.
_PLAIN = frozenset(
    {
        *("all", "any", "argmax", "argmin", "argsort", "ceil", "count_nonzero", "empty_like"),
        *("equal", "finfo", "floor", "floor_divide", "full_like", "greater", "greater_equal"),
        *("isdtype", "isfinite", "isinf", "isnan", "less", "less_equal", "logical_and"),
        *("logical_not", "logical_or", "logical_xor", "nonzero", "not_equal", "ones_like"),
        *("result_type", "round", "searchsorted", "sign", "signbit", "trunc", "zeros_like"),
    }
)


class GraphNamespace:
    """
    The Array API standard's functions, for Variables.

    Parameters
    ----------
    make : type
        Variable itself.
    records : Namespace
        The namespace of the arrays; what is called without a Variable is its own.
    """

    def __init__(self, make: "type[Variable]", records: Namespace) -> None:
        self.__name__ = f"koubai.graph ({getattr(records, '__name__', records)})"
        self.make = make
        self.records = records
        self._functions = _differentiable(make)

    def __getattr__(self, name: str) -> Any:
        plain = getattr(self.records, name, None)
        if not callable(plain) or isinstance(plain, type):
            return getattr(self.records, name)

        def function(*args: Any, **options: Any) -> Any:
            values = (*args, *options.values(), *(args[0] if _is_list(args) else ()))
            if not any(isinstance(value, self.make) for value in values):
                return plain(*args, **options)
            if name in self._functions:
                return self._functions[name](*args, **options)
            if name in _PLAIN:
                return plain(*map(self._array, args), **options)
            raise GraphError(
                f"koubai.graph: no layer gives the derivative of {name}. Write one, with forward "
                f"and backward, and run it on the Variable; or take variable.array, which has none."
            )

        return function

    def _array(self, value: Any) -> Any:
        return value.array if isinstance(value, self.make) else value


@cache
def namespace_of(make: "type[Variable]", records: Namespace) -> GraphNamespace:
    """Give the one namespace of Variables of a library's arrays."""
    return GraphNamespace(make, records)


def _is_list(args: tuple[Any, ...]) -> bool:
    return bool(args) and isinstance(args[0], (list, tuple))


def _differentiable(make: "type[Variable]") -> dict[str, Callable[..., Any]]:
    def node(layer: Any, *inputs: Any) -> Any:
        return make.run(layer, *inputs, fresh=True)

    def clip(x: Any, min: Any = None, max: Any = None) -> Any:  # noqa: A002  (the standard's)
        x = x if min is None else node(Maximum(), x, min)
        return x if max is None else node(Minimum(), x, max)

    return {
        "abs": lambda x: node(Abs(), x),
        "add": lambda x1, x2: node(AddLayer(), x1, x2),
        "asarray": lambda x, **_: x,
        "astype": lambda x, dtype, **_: x if dtype == x.dtype else node(Cast(dtype), x),
        "clip": clip,
        "divide": lambda x1, x2: node(DivLayer(), x1, x2),
        "exp": lambda x: node(Exp(), x),
        "expand_dims": lambda x, *, axis=0: node(Reshape(_with_one(x.shape, axis)), x),
        "log": lambda x: node(Log(), x),
        "matmul": lambda x1, x2: node(MatMul(), x1, x2),
        "matrix_transpose": lambda x: node(Transpose(_last_two(x.ndim)), x),
        "max": lambda x, *, axis=None, keepdims=False: node(Max(axis, keepdims=keepdims), x),
        "maximum": lambda x1, x2: node(Maximum(), x1, x2),
        "mean": lambda x, *, axis=None, keepdims=False: node(Mean(axis, keepdims=keepdims), x),
        "min": lambda x, *, axis=None, keepdims=False: node(Min(axis, keepdims=keepdims), x),
        "minimum": lambda x1, x2: node(Minimum(), x1, x2),
        "multiply": lambda x1, x2: node(MulLayer(), x1, x2),
        "negative": lambda x: -x,
        "permute_dims": lambda x, axes: node(Transpose(tuple(axes)), x),
        "positive": lambda x: +x,
        "pow": lambda x1, x2: node(PowLayer(), x1, x2),
        "reciprocal": lambda x: 1.0 / x,
        "reshape": lambda x, shape, **_: node(Reshape(_shape(shape)), x),
        "sqrt": lambda x: x**0.5,
        "square": lambda x: x * x,
        "subtract": lambda x1, x2: node(SubLayer(), x1, x2),
        "sum": lambda x, *, axis=None, keepdims=False, **_: node(Sum(axis, keepdims=keepdims), x),
        "tanh": lambda x: node(Tanh(), x),
        "where": _where(make),
    }


def _where(make: "type[Variable]") -> Callable[..., Any]:
    def where(condition: Any, x1: Any, x2: Any) -> Any:
        mask: Any = condition.array if isinstance(condition, make) else condition
        mask = np.asarray(mask) if isinstance(mask, bool) else mask
        return make.run(Where(), mask, x1, x2, fresh=True)

    return where


def _shape(shape: int | tuple[int, ...]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def _with_one(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    at = axis % (len(shape) + 1)
    return *shape[:at], 1, *shape[at:]


def _last_two(rank: int) -> tuple[int, ...]:
    return *range(rank - 2), rank - 1, rank - 2
