"""Node: one use of a layer, with what it took and what backward needs."""

from collections.abc import Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar, Token
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from koubai.arrays import is_kind, shared_namespace
from koubai.errors import GraphError
from koubai.graph.changes import fingerprint, require_same, watched
from koubai.graph.copies import drop_arrays, parameters_of, places_of, twins_of
from koubai.layers import AddLayer, DivLayer, MulLayer, NegLayer, SubLayer, Where
from koubai.networks.chain import ChainLayer

if TYPE_CHECKING:
    from koubai.graph.variable import Variable

__all__ = ["Node", "has_derivative", "no_grad", "opened", "opening", "recording"]

_recording: ContextVar[bool] = ContextVar("koubai_graph_recording", default=True)
_opening: ContextVar[bool] = ContextVar("koubai_graph_opening", default=False)
_numbers = count()
_NUMBERS = frozenset({int, float})
_ARITHMETIC = (AddLayer, DivLayer, MulLayer, NegLayer, SubLayer)  # of Python numbers too
_NEED_SHAPES = frozenset({AddLayer, SubLayer, Where})  # of the x and y that they hold


class no_grad(ContextDecorator):  # noqa: N801  (as in PyTorch, where readers know it from)
    """
    Run without building a graph: ``with no_grad(): ...``, or as a decorator.

    Examples
    --------
    >>> from koubai.graph import Variable, no_grad
    >>> with no_grad():
    ...     y = Variable(2.0) * 3.0
    >>> y.creator is None
    True
    """

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []

    def _recreate_cm(self) -> Self:
        return type(self)()  # a decorated function may run in several threads at once

    def __enter__(self) -> Self:
        self._tokens.append(_recording.set(False))
        return self

    def __exit__(self, *_: object) -> None:
        _recording.reset(self._tokens.pop())


@contextmanager
def recording() -> Iterator[None]:
    """Build a graph whatever is in force outside: of what is only differentiated here."""
    token = _recording.set(True)
    try:
        yield
    finally:
        _recording.reset(token)


@contextmanager
def opening() -> Iterator[None]:
    """Let layers run on Variables themselves, so that their own operations become nodes."""
    token = _opening.set(True)
    try:
        with recording():
            yield
    finally:
        _opening.reset(token)


def is_opening() -> bool:
    """Tell whether layers run on Variables themselves."""
    return _opening.get()


def has_derivative(value: Any) -> bool:
    """Tell whether a Variable, an array or a number is one that gradients are given for."""
    array = getattr(value, "array", value)
    if type(array) in _NUMBERS:
        return True
    if not hasattr(array, "dtype"):
        return False
    return is_kind(shared_namespace("backward", {"x": array}), array.dtype, "real floating")


class Node:
    """
    One use of a layer.

    Parameters
    ----------
    twins : tuple of layers
        A layer after its ``forward``, with all that its ``backward`` needs, then the layers
        inside it; the node's own, not to be run again.
    inputs : tuple of Variable or other values
        What ``forward`` took; what is no Variable is a constant.
    learned : tuple of Variable
        The parameters of these layers, in the order of their ``parameters``.
    given : list of Array or float
        What of all that the layer holds may be changed by others: inputs, parameters, output.
    of_numbers : bool
        Whether Python numbers were made arrays for the layer, and its arrays become numbers.

    Attributes
    ----------
    number : int
        Nodes are counted as they are made, so that each has a higher number than those
        that it depends on.
    shares : tuple
        After ``backward``, what went back to each input and parameter.
    """

    __slots__ = ("inputs", "learned", "marks", "number", "of_numbers", "shares", "twins")

    def __init__(
        self,
        twins: tuple[ChainLayer, ...],
        inputs: tuple[Any, ...],
        learned: tuple["Variable", ...],
        given: list[Any],
        *,
        of_numbers: bool = False,
    ) -> None:
        self.twins = twins
        self.inputs = inputs
        self.learned = learned
        self.number = next(_numbers)
        self.of_numbers = of_numbers
        # Only what the layer holds on to can harm it by changing.
        self.marks: list[tuple[Any, object]] | None = []
        for layer in twins:
            self.marks += watched(layer, given, _unread(type(layer)))
        self.shares: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return f"Node({type(self.bare).__name__})"

    @property
    def bare(self) -> Any:
        """The layer; without its arrays once ``backward`` has given them up."""
        return self.twins[0]

    def require_unchanged(self) -> None:
        """
        See that the layer still has what its ``backward`` needs, as ``forward`` left it.

        Raises
        ------
        GraphError
            If it has been given up by an earlier ``backward``, or if an array that it
            needs has been changed since.
        """
        if self.marks is None:
            raise GraphError(
                f"backward: {type(self.bare).__name__} is freed, because an earlier backward went "
                "through this graph and kept nothing. Call the first one with "
                "backward(retain_graph=True), or compute the output again."
            )
        for array, before in self.marks:
            if fingerprint(array) != before:
                raise GraphError(
                    f"backward: an array of the shape {tuple(array.shape)} that "
                    f"{type(self.bare).__name__} took or gave was changed in place after forward, "
                    "so the gradient would be wrong. Change it after backward, or work on a copy: "
                    "x = x + 1 instead of x += 1."
                )

    def free(self) -> None:
        """Give up what ``backward`` needs; the picture of the graph stays."""
        if self.marks is None:
            return
        self.marks = None
        for layer in self.twins:
            drop_arrays(layer)

    def backward(self, y: "Variable", dout: Any, *, create_graph: bool) -> tuple[Any, ...]:
        """
        Give the gradients of the inputs and the parameters.

        Parameters
        ----------
        y : Variable
            The output.
        dout : float or Array; a Variable with ``create_graph``
            The gradient of the output.
        create_graph : bool
            Whether the gradients are Variables with a graph of their own.

        Returns
        -------
        tuple of float or Array or Variable or None
            One for each input, then one for each parameter; None where there is none.
        """
        if create_graph:
            self.shares = self.pulled(y, dout, self.inputs, self.learned)
            return self.shares
        self.require_unchanged()
        if not self.of_numbers:
            self.shares = _gradients(self.twins, dout, len(self.inputs))
        else:
            dout = np.asarray(dout, dtype=np.float64)
            shares = _gradients(self.twins, dout, len(self.inputs))
            self.shares = tuple(None if share is None else float(share) for share in shares)
        return self.shares

    def pulled(
        self,
        y: "Variable",
        dout: "Variable",
        inputs: tuple[Any, ...],
        learned: tuple["Variable", ...],
    ) -> tuple[Any, ...]:
        """Do the work of ``backward`` on Variables, for inputs and parameters of one's own."""
        # What has no derivative, such as labels, stays an array: not all that is done to it has.
        values = [getattr(v, "array", v) if not has_derivative(v) else v for v in inputs]
        self.require_unchanged()
        layers, again = opened(self.bare, tuple(values), learned)
        require_same(type(self.bare).__name__, y.array, getattr(again, "array", again))
        with opening():
            return _gradients(layers, dout, len(inputs))


def opened(
    layer: Any, inputs: tuple[Any, ...], learned: tuple["Variable", ...]
) -> tuple[tuple[Any, ...], Any]:
    """
    Run a copy of a layer on Variables, operation by operation.

    Parameters
    ----------
    layer
        The layer; it stays as it is.
    inputs, learned : tuple of Variable or other values
        What it takes, and what stands for its parameters and those of the layers inside it.

    Returns
    -------
    layers, output
        The copies of it and of the layers inside it after ``forward``, and the Variable that
        it gave.
    """
    twins = tuple(twins_of(layer)[1])
    for (twin, name), variable in zip(places_of(twins), learned, strict=True):
        setattr(twin, name, variable)
    with opening():
        return twins, twins[0].forward(*inputs)


def run(make: "type[Variable]", layer: Any, inputs: tuple[Any, ...], *, fresh: bool) -> "Variable":
    """Do the work of `Variable.run`."""
    arrays = [each.array if isinstance(each, make) else each for each in inputs]
    by_numbers = _NUMBERS.issuperset(map(type, arrays)) and type(layer) not in _ARITHMETIC
    if by_numbers:
        arrays = [np.asarray(each, dtype=np.float64) for each in arrays]
    known = [*arrays, *vars(layer).values()] if fresh else arrays.copy()
    given = layer.forward(*arrays)
    by_numbers = by_numbers and isinstance(given, np.generic | np.ndarray) and given.shape == ()
    y = make.of(float(given) if by_numbers else given)
    if not _recording.get():
        return y
    known.append(given)
    if fresh:
        y.creator = Node((layer,), inputs, (), known, of_numbers=by_numbers)
        return y
    layers, twins = twins_of(layer)
    learned = []
    for each, name in places_of(layers):
        known.append(value := getattr(each, name))
        learned.append(make.of(value, name, each))
    y.creator = Node(tuple(twins), inputs, tuple(learned), known, of_numbers=by_numbers)
    return y


@cache
def _unread(kind: type) -> frozenset[str]:
    """Name what a layer holds and ``backward`` does not read, or has written itself."""
    if kind in _NEED_SHAPES:
        return frozenset({"x", "y"})
    return frozenset({*getattr(kind, "state", ()), *(f"d{name}" for name in parameters_of(kind))})


def _gradients(layers: tuple[Any, ...], dout: Any, count: int) -> tuple[Any, ...]:
    """Run the first layer backwards; give what its inputs, then all parameters get."""
    given = layers[0].backward(dout)
    shares = given if isinstance(given, tuple) else (given,)
    if len(shares) < count:
        shares += (None,) * (count - len(shares))
    for layer, name in places_of(layers):
        gradient = f"d{name}"
        own = layer is layers[0]  # the layers inside may have been left out
        shares += (getattr(layer, gradient) if own else getattr(layer, gradient, None),)
    return shares
