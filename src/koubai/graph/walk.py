"""The way back: every node once, each after all that depend on it."""

from functools import reduce
from heapq import heappop, heappush
from operator import add
from typing import TYPE_CHECKING, Any

from koubai.arrays import describe, is_kind, native_device, shared_namespace
from koubai.errors import GraphError, ShapeError
from koubai.graph.node import has_derivative, recording

if TYPE_CHECKING:
    from koubai.graph.node import Node
    from koubai.graph.variable import Variable

__all__ = ["backward", "computed"]


def backward(y: "Variable", gradient: Any, *, retain_graph: bool, create_graph: bool) -> None:
    """Do the work of `Variable.backward`."""
    dout = _seed(y, gradient)
    if create_graph:
        with recording():
            _go_back(y, dout if isinstance(dout, type(y)) else type(y)(dout), create_graph=True)
        return
    passed = _go_back(y, getattr(dout, "array", dout), create_graph=False)
    if not retain_graph:
        for node in passed:
            node.free()


def _go_back(y: "Variable", dout: Any, *, create_graph: bool) -> "list[Node]":
    """Leave every Variable its gradient, and give the nodes on the way, the last first."""
    kind = type(y)
    y.grad = dout
    met = {id(y)}
    leaves: list[Variable] = []
    passed: list[Node] = []
    # All that depends on a Variable was made later than it, and so has given its share by the
    # time that the number of the Variable is the highest that waits.
    waiting = [(-_number(y), y)]
    while waiting:
        _, variable = heappop(waiting)
        node = variable.creator
        assert node is not None
        passed.append(node)
        if variable.grad is None:  # nothing goes back to it, as to the labels of a loss
            node.shares = (None,) * (len(node.inputs) + len(node.learned))
        else:
            node.backward(variable, variable.grad, create_graph=create_graph)
        # A parameter has one Variable for each use, and more ways to it in a graph of gradients.
        for source, share in zip(node.inputs + node.learned, node.shares, strict=True):
            if not isinstance(source, kind):
                continue
            if id(source) not in met:
                met.add(id(source))
                source.grad = share
                if source.creator is None:
                    leaves.append(source)
                else:
                    heappush(waiting, (-source.creator.number, source))
            elif share is not None:
                source.grad = share if source.grad is None else source.grad + share
    _give_to_layers([leaf for leaf in leaves if leaf.owner is not None])
    for leaf in leaves:
        if leaf.owner is None and not has_derivative(leaf):
            leaf.grad = None
    return passed


def computed(y: "Variable") -> list["Variable"]:
    """
    Give all Variables that were computed on the way to one, in the order of their making.

    Parameters
    ----------
    y : Variable
        The end of the graph.

    Returns
    -------
    list of Variable
        Each after all that it depends on.
    """
    kind = type(y)
    found: dict[int, Variable] = {}
    waiting = [y]
    while waiting:
        variable = waiting.pop()
        if variable.creator is not None and id(variable) not in found:
            found[id(variable)] = variable
            waiting += [each for each in variable.creator.inputs if isinstance(each, kind)]
    return sorted(found.values(), key=_number)


def _number(variable: "Variable") -> int:
    assert variable.creator is not None
    return variable.creator.number


def _seed(y: "Variable", gradient: Any) -> Any:
    if y.creator is None:
        raise GraphError(
            f"backward: {y!r} was computed by no layer, so there is no graph to go back through. "
            "Within no_grad() none is built."
        )
    if gradient is None:
        if y.shape != ():
            raise GraphError(
                f"backward: the output has the shape {y.shape}, and no single derivative. Reduce "
                "it to one number, as y.sum() does, or say what comes from behind: "
                "y.backward(gradient) with an array of this shape."
            )
        return 1 if type(y.array) in (int, float) else _filled(y.array, 1.0)
    is_number = type(gradient) in (int, float)
    found = tuple(getattr(gradient, "shape", ()))
    if found != y.shape or not (is_number or hasattr(gradient, "shape")):
        raise ShapeError(
            f"backward: gradient is {describe(gradient)}, but one of the shape of the output, "
            f"{y.shape}, is wanted."
        )
    if is_number and type(y.array) not in (int, float):
        return _filled(y.array, gradient)
    return gradient


def _filled(array: Any, value: float) -> Any:
    xp = shared_namespace("backward", {"y": array})
    if not is_kind(xp, array.dtype, "real floating"):
        raise GraphError(f"backward: the output is {describe(array)}, which has no derivative.")
    return xp.asarray(value, dtype=array.dtype, device=native_device(array))


def _give_to_layers(learned: list["Variable"]) -> None:
    """Leave each layer the gradients of its parameters, added up over its uses."""
    uses: dict[tuple[int, str | None], list[Variable]] = {}
    for parameter in learned:
        uses.setdefault((id(parameter.owner), parameter.name), []).append(parameter)
    for same in uses.values():
        total = same[0].grad
        if len(same) > 1:
            given = [parameter.grad for parameter in same if parameter.grad is not None]
            total = reduce(add, given) if given else None
            for parameter in same:
                parameter.grad = total
        setattr(same[0].owner, f"d{same[0].name}", getattr(total, "array", total))
