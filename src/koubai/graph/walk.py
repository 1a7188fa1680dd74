"""The way back: every node once, each after all that depend on it."""

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from koubai.arrays import describe, is_kind, native_device, shared_namespace
from koubai.errors import GraphError, ShapeError
from koubai.graph.node import has_derivative, recording

if TYPE_CHECKING:
    from koubai.graph.variable import Variable

__all__ = ["backward", "computed"]


def backward(y: "Variable", gradient: Any, *, retain_graph: bool, create_graph: bool) -> None:
    """Do the work of `Variable.backward`."""
    dout = _seed(y, gradient)
    if create_graph and not isinstance(dout, type(y)):
        dout = type(y)(dout)
    elif not create_graph:
        dout = getattr(dout, "array", dout)
    order = computed(y)
    with recording() if create_graph else nullcontext():
        leaves = _go_back(y, dout, order, create_graph=create_graph)
        _give_to_layers([leaf for leaf in leaves if leaf.owner is not None])
    if not (retain_graph or create_graph):
        for variable in order:
            assert variable.creator is not None
            variable.creator.free()


def _go_back(
    y: "Variable", dout: Any, order: list["Variable"], *, create_graph: bool
) -> list["Variable"]:
    """Leave every Variable its gradient, and give those that come from outside."""
    kind = type(y)
    found: dict[int, Any] = {id(y): dout}
    leaves: dict[int, Variable] = {}
    for variable in reversed(order):
        node = variable.creator
        assert node is not None
        variable.grad = found.get(id(variable))
        if variable.grad is None:  # nothing went back to it, as to the labels of a loss
            continue
        shares = node.backward(variable, variable.grad, create_graph=create_graph)
        for source, share in zip((*node.inputs, *node.learned), shares, strict=True):
            if share is None or not isinstance(source, kind):
                continue
            known = found.get(id(source))
            found[id(source)] = share if known is None else known + share
            if source.creator is None:
                leaves[id(source)] = source
    for key, leaf in leaves.items():
        leaf.grad = found[key] if leaf.owner is not None or has_derivative(leaf) else None
    return list(leaves.values())


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
    return xp.full((), value, dtype=array.dtype, device=native_device(array))


def _give_to_layers(learned: list["Variable"]) -> None:
    """Leave each layer the gradients of its parameters, added up over its uses."""
    totals: dict[tuple[int, str | None], Any] = {}
    for parameter in learned:
        key = id(parameter.owner), parameter.name
        totals[key] = totals[key] + parameter.grad if key in totals else parameter.grad
    for parameter in learned:
        parameter.grad = total = totals[id(parameter.owner), parameter.name]
        setattr(parameter.owner, f"d{parameter.name}", getattr(total, "array", total))
