"""Variable: an array that remembers which layers it came through."""

from typing import Any, Self

import numpy as np

from koubai.arrays import describe, native_device, shared_namespace
from koubai.errors import GraphError, NotAnArrayError
from koubai.graph import node, walk
from koubai.graph.namespace import namespace_of
from koubai.layers import (
    AddLayer,
    DivLayer,
    MatMul,
    MulLayer,
    NegLayer,
    PowLayer,
    SubLayer,
)
from koubai.typing import Axis, Shape

__all__ = ["Variable"]

_NUMBERS = (int, float)


class Variable:
    """
    A number or an array that remembers how it was computed.

    Arithmetic, the functions of koubai, layers and networks take Variables, run on their
    arrays, and make a node of the graph each time; ``backward`` goes through the nodes in
    reverse.

    Parameters
    ----------
    array : Array or float
        The value, of any array library, on any device.
    name : str, optional
        What it is called in errors and pictures.

    Attributes
    ----------
    array : Array or float
        The value.
    name : str or None
        What it is called.
    grad : Array or float or Variable or None
        The derivative of what ``backward`` was last called on with respect to it; a
        Variable where that was with ``create_graph``. None before, and for what is not
        floating point.
    creator : Node or None
        The layer that computed it, and from what; None for what comes from outside.
    owner : Layer or None
        Of a parameter, the layer that learns it and gets its gradient.

    Raises
    ------
    NotAnArrayError
        If the value is neither a number nor an array.

    Examples
    --------
    Two apples at 100 each and a tax of 10 % (the book, section 5.2):

    >>> apple, number, tax = Variable(100), Variable(2), Variable(1.1)
    >>> price = apple * number * tax
    >>> price
    Variable(220.00000000000003)
    >>> price.backward()
    >>> apple.grad, number.grad, tax.grad
    (2.2, 110.00000000000001, 200)
    """

    __slots__ = ("__weakref__", "array", "creator", "grad", "name", "owner")
    __array_priority__ = 1000  # CuPy asks for it

    def __init__(self, array: Any, name: str | None = None) -> None:
        if type(array) not in _NUMBERS:
            if isinstance(array, Variable):
                raise NotAnArrayError(
                    f"Variable: {array!r} is one already; Variable(variable.array) begins anew."
                )
            shared_namespace("Variable", {"array": array})
        self.array = array
        self.name = name
        self.grad: Any = None
        self.creator: node.Node | None = None
        self.owner: Any = None

    @classmethod
    def of(cls, array: Any, name: str | None = None, owner: Any = None) -> "Variable":
        """Make a Variable of what a layer gave or has, which needs no look."""
        made = cls.__new__(cls)
        made.array, made.name, made.owner = array, name, owner
        made.grad = made.creator = None
        return made

    def __repr__(self) -> str:
        name = f", name={self.name!r}" if self.name is not None else ""
        value = self.array.item() if isinstance(self.array, np.generic) else self.array
        return f"Variable({value!r}{name})"

    # What an array has

    @property
    def shape(self) -> Shape:
        """The shape; () of a number."""
        return tuple(getattr(self.array, "shape", ()))

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    @property
    def dtype(self) -> Any:
        """The dtype; float64 of a number."""
        return np.dtype("float64") if self._is_number else self.array.dtype

    @property
    def device(self) -> Any:
        """The device, as the array's own library writes it; None of a number."""
        return None if self._is_number else native_device(self.array)

    @property
    def T(self) -> "Variable":  # noqa: N802  (the standard's name)
        """The transpose."""
        return self.transpose()

    @property
    def _is_number(self) -> bool:
        return type(self.array) in _NUMBERS

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        """Give the standard's functions, for Variables."""
        array = np.asarray(self.array) if self._is_number else self.array
        return namespace_of(Variable, shared_namespace("Variable", {"array": array}))

    @staticmethod
    def namespace_over(records: Any) -> Any:
        """Give the standard's functions for Variables of a library's arrays."""
        return namespace_of(Variable, records)

    # Arithmetic: each operator is a layer

    def __add__(self, other: Any) -> "Variable":
        return self._with(AddLayer(), self, other)

    def __radd__(self, other: Any) -> "Variable":
        return self._with(AddLayer(), other, self)

    def __sub__(self, other: Any) -> "Variable":
        return self._with(SubLayer(), self, other)

    def __rsub__(self, other: Any) -> "Variable":
        return self._with(SubLayer(), other, self)

    def __mul__(self, other: Any) -> "Variable":
        return self._with(MulLayer(), self, other)

    def __rmul__(self, other: Any) -> "Variable":
        return self._with(MulLayer(), other, self)

    def __truediv__(self, other: Any) -> "Variable":
        return self._with(DivLayer(), self, other)

    def __rtruediv__(self, other: Any) -> "Variable":
        return self._with(DivLayer(), other, self)

    def __pow__(self, other: Any) -> "Variable":
        return self._with(PowLayer(), self, other)

    def __rpow__(self, other: Any) -> "Variable":
        return self._with(PowLayer(), other, self)

    def __matmul__(self, other: Any) -> "Variable":
        return self._with(MatMul(), self, other)

    def __rmatmul__(self, other: Any) -> "Variable":
        return self._with(MatMul(), other, self)

    def __neg__(self) -> "Variable":
        return Variable.run(NegLayer(), self, fresh=True)

    def __pos__(self) -> Self:
        return self

    def __abs__(self) -> "Variable":
        return self._call("abs")

    # Comparisons have no derivative: they give arrays

    def __eq__(self, other: object) -> Any:
        return self.array == _plain(other)

    def __ne__(self, other: object) -> Any:
        return self.array != _plain(other)

    def __lt__(self, other: Any) -> Any:
        return self.array < _plain(other)

    def __le__(self, other: Any) -> Any:
        return self.array <= _plain(other)

    def __gt__(self, other: Any) -> Any:
        return self.array > _plain(other)

    def __ge__(self, other: Any) -> Any:
        return self.array >= _plain(other)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return bool(self.array)

    def __float__(self) -> float:
        return float(self.array)

    def __int__(self) -> int:
        return int(self.array)

    # Functions

    def exp(self) -> "Variable":
        """Give exp(x), element by element."""
        return self._call("exp")

    def log(self) -> "Variable":
        """Give the natural logarithm, element by element."""
        return self._call("log")

    def sum(self, axis: Axis = None, *, keepdims: bool = False) -> "Variable":
        """
        Give the sum along axes.

        Parameters
        ----------
        axis : int or tuple of int, optional
            By default all axes.
        keepdims : bool
            Whether they stay, with the size 1.

        Returns
        -------
        Variable
            The sums.
        """
        return self._call("sum", axis=axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, *, keepdims: bool = False) -> "Variable":
        """Give the mean along axes; arguments as for `sum`."""
        return self._call("mean", axis=axis, keepdims=keepdims)

    def max(self, axis: Axis = None, *, keepdims: bool = False) -> "Variable":
        """Give the largest elements along axes; arguments as for `sum`."""
        return self._call("max", axis=axis, keepdims=keepdims)

    def min(self, axis: Axis = None, *, keepdims: bool = False) -> "Variable":
        """Give the smallest elements along axes; arguments as for `sum`."""
        return self._call("min", axis=axis, keepdims=keepdims)

    def reshape(self, *shape: Any) -> "Variable":
        """Give the same elements in another shape: ``x.reshape(2, 3)`` or ``x.reshape((2, 3))``."""
        return self._call("reshape", shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> "Variable":
        """Give the axes in another order; by default reversed."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return self._call("permute_dims", order or tuple(range(self.ndim))[::-1])

    # The graph

    def backward(
        self, gradient: Any = None, *, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """
        Give every Variable that this one depends on its derivative, in ``grad``.

        Parameters
        ----------
        gradient : Array or float, optional
            The gradient that comes from behind, of the shape of this Variable; 1 where
            it is a single number.
        retain_graph : bool
            Whether to keep what the layers need, so that ``backward`` can run again.
        create_graph : bool
            Whether the gradients become Variables, to be differentiated in their turn.

        Raises
        ------
        GraphError
            If there is no graph, or it is freed; if this is no single number and no
            gradient is given; if an array that a layer needs was changed in place.
        ShapeError
            If the gradient has another shape.

        Notes
        -----
        ``grad`` is the derivative of the last ``backward`` alone. To add up those of two
        losses, add the losses. Parameters of layers get theirs in the layer as well, as
        ``dW``, and so in ``network.grads``.

        Examples
        --------
        The second derivative of x^3 at 2 is 12:

        >>> x = Variable(2.0)
        >>> y = x**3
        >>> y.backward(create_graph=True)
        >>> x.grad
        Variable(12.0)
        >>> x.grad.backward()
        >>> float(x.grad)
        12.0
        """
        walk.backward(self, gradient, retain_graph=retain_graph, create_graph=create_graph)

    @classmethod
    def run(cls, layer: Any, *inputs: Any, fresh: bool = False) -> "Variable":
        """
        Run a layer, or any object with ``forward`` and ``backward``, as a node of the graph.

        Parameters
        ----------
        layer
            The layer; with Variables, ``layer.forward(x)`` comes here by itself.
        *inputs : Variable, Array or float
            What its ``forward`` takes; what is no Variable is a constant.
        fresh : bool
            Whether the layer was made for this one use, so that no copy of it is needed.

        Returns
        -------
        Variable
            The output.
        """
        return node.run(cls, layer, inputs, fresh=fresh)

    @staticmethod
    def takes_over() -> bool:
        """Tell whether a layer that is handed a Variable becomes a node, as it should."""
        return not node.is_opening()

    def _with(self, layer: Any, x: Any, y: Any) -> "Variable":
        other = y if x is self else x
        if type(other) not in _NUMBERS and not hasattr(other, "dtype"):
            return NotImplemented  # type: ignore[no-any-return]
        return Variable.run(layer, x, y, fresh=True)

    def _call(self, name: str, *args: Any, **options: Any) -> "Variable":
        return getattr(self.__array_namespace__(), name)(self, *args, **options)  # type: ignore[no-any-return]

    # What NumPy would do without asking: an array of objects

    def __array__(self, *_: object, **__: object) -> Any:
        raise GraphError(
            f"NumPy was asked to make an array of a Variable ({describe(self.array)}), and "
            "would make one of objects. variable.array is the array, without the graph."
        )

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **options: Any) -> Any:
        name = _STANDARD.get(function.__name__, function.__name__)
        if "out" in options:
            raise GraphError(
                f"np.{function.__name__} cannot write a Variable into an array, as a += v and out= "
                "do: the graph would be lost. Write a = a + v, which makes a Variable of a."
            )
        xp = self.__array_namespace__()
        if method != "__call__" or options or not hasattr(xp, name):
            raise GraphError(
                f"np.{function.__name__} does not take a Variable as it was called here: no layer "
                "gives its derivative. variable.array is the array, without the graph."
            )
        return getattr(xp, name)(*inputs)

    def __array_function__(self, function: Any, *_: object) -> Any:
        raise GraphError(
            f"np.{function.__name__} does not take a Variable. Its own methods, operators and the "
            "functions of koubai do: x.sum(), x @ W, koubai.softmax(x). variable.array is the "
            "array, without the graph."
        )


_STANDARD = {"absolute": "abs", "power": "pow", "true_divide": "divide"}


def _plain(value: Any) -> Any:
    return value.array if isinstance(value, Variable) else value
