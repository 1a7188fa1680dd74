"""Node: one use of a layer, with what it took and what backward needs."""

import copy
from collections.abc import Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar, Token
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from koubai.arrays import is_kind, shared_namespace
from koubai.errors import GraphError
from koubai.graph.changes import borrowed, fingerprint, require_same
from koubai.layers import AddLayer, DivLayer, MulLayer, NegLayer, SubLayer, Where
from koubai.networks.chain import ChainLayer

if TYPE_CHECKING:
    from koubai.graph.variable import Variable

__all__ = ["Node", "has_derivative", "no_grad", "opened", "opening", "recording"]

_recording: ContextVar[bool] = ContextVar("koubai_graph_recording", default=True)
_opening: ContextVar[bool] = ContextVar("koubai_graph_opening", default=False)
_numbers = count()
_NUMBERS = (int, float)
_PLAIN = frozenset({bool, int, float, str, tuple, type(None)})
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
    layer
        A layer after its ``forward``, with all that its ``backward`` needs; the node's
        own, not to be run again.
    inputs : tuple of Variable or other values
        What ``forward`` took; what is no Variable is a constant.
    learned : tuple of Variable
        The parameters of the layer, in the order of its ``parameters``.
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

    __slots__ = ("_bare", "inputs", "kept", "learned", "number", "of_numbers", "shares", "type")

    def __init__(
        self,
        layer: ChainLayer,
        inputs: tuple[Any, ...],
        learned: tuple["Variable", ...],
        given: list[Any],
        *,
        of_numbers: bool = False,
    ) -> None:
        self.of_numbers = of_numbers
        self.inputs = inputs
        self.learned = learned
        self.number = next(_numbers)
        self.shares: tuple[Any, ...] = ()
        self.type = type(layer)
        # Only what the layer holds on to can harm it by changing.
        held = borrowed(layer, given, _unread(type(layer)))
        prints = [(array, fingerprint(array)) for array in held]
        self.kept: tuple[Any, list[tuple[Any, object]]] | None = (layer, prints)

    def __repr__(self) -> str:
        return f"Node({self.type.__name__})"

    @property
    def layer(self) -> Any:
        """
        The layer, as its ``forward`` left it.

        Raises
        ------
        GraphError
            If it has been given up by an earlier ``backward``, or if an array that it
            needs has been changed since.
        """
        if self.kept is None:
            raise GraphError(
                f"backward: {self.type.__name__} is freed, because an earlier backward went "
                "through this graph and kept nothing. Call the first one with "
                "backward(retain_graph=True), or compute the output again."
            )
        layer, prints = self.kept
        for array, before in prints:
            if before is not None and fingerprint(array) != before:
                raise GraphError(
                    f"backward: an array of the shape {tuple(array.shape)} that "
                    f"{self.type.__name__} took or gave was changed in place after forward, so the "
                    "gradient would be wrong. Change it after backward, or work on a copy: "
                    "x = x + 1 instead of x += 1."
                )
        return layer

    @property
    def bare(self) -> Any:
        """A layer like the node's own, as it was made: without what ``forward`` left in it."""
        return self.kept[0] if self.kept is not None else self._bare

    def free(self) -> None:
        """Give up what ``backward`` needs; the picture of the graph stays."""
        if self.kept is None:
            return
        layer, _ = self.kept
        kept = {
            name: value
            for name, value in vars(layer).items()
            if type(value) in _PLAIN or not hasattr(value, "shape")
        }
        self._bare = object.__new__(self.type)
        vars(self._bare).update(kept)
        self.kept = None

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
        self.shares = (
            self.pulled(y, dout, self.inputs, self.learned)
            if create_graph
            else self._gradients_of(dout)
        )
        return self.shares

    def _gradients_of(self, dout: Any) -> tuple[Any, ...]:
        if not self.of_numbers:
            return _gradients(self.layer, dout, len(self.inputs))
        shares = _gradients(self.layer, np.asarray(dout, dtype=np.float64), len(self.inputs))
        return tuple(None if share is None else float(share) for share in shares)

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
        layer, again = opened(self.layer, tuple(values), learned)
        require_same(self.type.__name__, y.array, getattr(again, "array", again))
        with opening():
            return _gradients(layer, dout, len(inputs))


def opened(layer: Any, inputs: tuple[Any, ...], learned: tuple["Variable", ...]) -> tuple[Any, Any]:
    """
    Run a copy of a layer on Variables, operation by operation.

    Parameters
    ----------
    layer
        The layer; it stays as it is.
    inputs, learned : tuple of Variable or other values
        What it takes, and what stands for its parameters.

    Returns
    -------
    layer, output
        The copy after ``forward``, and the Variable that it gave.
    """
    twin = copy.copy(layer)
    for name, variable in zip(_parameters(layer), learned, strict=True):
        setattr(twin, name, variable)
    with opening():
        return twin, twin.forward(*inputs)


def run(make: "type[Variable]", layer: Any, inputs: tuple[Any, ...], *, fresh: bool) -> "Variable":
    """Do the work of `Variable.run`."""
    arrays = [each.array if isinstance(each, make) else each for each in inputs]
    by_numbers = type(layer) not in _ARITHMETIC and all(type(a) in _NUMBERS for a in arrays)
    if by_numbers:
        arrays = [np.asarray(each, dtype=np.float64) for each in arrays]
    made_with = list(vars(layer).values()) if fresh else []
    given = layer.forward(*arrays)
    by_numbers = by_numbers and isinstance(given, np.generic | np.ndarray) and given.shape == ()
    y = make.of(float(given) if by_numbers else given)
    if not _recording.get():
        return y
    arrays.append(y.array)
    if fresh:
        y.creator = Node(layer, inputs, (), arrays + made_with, of_numbers=by_numbers)
    else:
        names = _parameters(layer)
        learned = tuple([make.of(getattr(layer, name), name, layer) for name in names])
        arrays += [each.array for each in learned]
        y.creator = Node(_kept(layer), inputs, learned, arrays, of_numbers=by_numbers)
    return y


def _kept(layer: Any) -> Any:
    """Give a copy of a layer that stays when the layer itself runs on."""
    kind = type(layer)
    if hasattr(kind, "__copy__") or "__reduce_ex__" in vars(kind):
        return copy.copy(layer)
    twin = object.__new__(kind)
    vars(twin).update(vars(layer))
    return twin


@cache
def _unread(kind: type) -> frozenset[str]:
    """Name what a layer holds and ``backward`` does not read, or has written itself."""
    if kind in _NEED_SHAPES:
        return frozenset({"x", "y"})
    names = cast("tuple[str, ...]", getattr(kind, "parameters", ()))
    return frozenset({*getattr(kind, "state", ()), *(f"d{name}" for name in names)})


def _gradients(layer: Any, dout: Any, count: int) -> tuple[Any, ...]:
    given = layer.backward(dout)
    shares = given if isinstance(given, tuple) else (given,)
    missing = (None,) * (count - len(shares))
    return *shares, *missing, *[getattr(layer, f"d{name}") for name in _parameters(layer)]


def _parameters(layer: object) -> tuple[str, ...]:
    return cast("tuple[str, ...]", getattr(layer, "parameters", ()))
