"""Forward mode: derivatives that travel with the values, from the inputs to the output.

A layer gives its derivative in one direction only, backwards: for a gradient u of its output it
gives J^T u, which is linear in u. The derivative of <J^T u, v> with respect to u is therefore
J v, the tangent that goes forward: two steps back are one step forward (J. Townsend, "A new trick
for calculating Jacobian vector products", 2017).
"""

from collections.abc import Callable, Sequence
from typing import Any

from koubai.arrays import native_device, shared_namespace
from koubai.errors import GraphError, ShapeError
from koubai.graph.node import Node, recording
from koubai.graph.variable import Variable
from koubai.graph.walk import computed

__all__ = ["jvp"]


def jvp(
    function: Callable[..., Variable], inputs: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    """
    Give the value of a function, and its derivative along a direction, in forward mode.

    Each node is told how fast its inputs change, and tells how fast its output does:
    one pass for one direction, however many outputs there are. Reverse mode, which is
    ``backward``, needs one pass for one output, however many inputs there are.

    Parameters
    ----------
    function : callable
        Takes Variables, gives a Variable.
    inputs : sequence of Array or float
        Where the derivative is taken.
    tangents : sequence of Array or float
        The direction: for each input, of its shape, how fast it changes.

    Returns
    -------
    value, tangent : Array or float
        f(x), and the derivative J v of f at x along v; of the same shape.

    Raises
    ------
    ShapeError
        If inputs and tangents do not go together.
    GraphError
        If the function gives no Variable.

    Examples
    --------
    How the price of two apples changes with that of one:

    >>> jvp(lambda apple, number, tax: apple * number * tax, (100, 2, 1.1), (1, 0, 0))
    (220.00000000000003, 2.2)
    """
    shapes = [[tuple(getattr(each, "shape", ())) for each in side] for side in (inputs, tangents)]
    if shapes[0] != shapes[1]:
        raise ShapeError(
            f"jvp: the inputs have the shapes {shapes[0]} and the tangents {shapes[1]}; they must "
            "be the same."
        )
    with recording():
        return _pushed_through(function, [Variable(value) for value in inputs], tangents)


def _pushed_through(
    function: Callable[..., Variable], variables: list[Variable], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    y = function(*variables)
    if not isinstance(y, Variable):
        raise GraphError(f"jvp: the function gave {y!r}, but a Variable is wanted.")
    known: dict[int, Any] = {id(v): t for v, t in zip(variables, tangents, strict=True)}
    for variable in computed(y):
        assert variable.creator is not None
        moving = [known.get(id(each)) for each in variable.creator.inputs]
        if any(each is not None for each in moving):
            known[id(variable)] = _pushed(variable, variable.creator, moving)
    return y.array, known.get(id(y), _zeros(y.array))


def _pushed(y: Variable, node: Node, tangents: list[Any]) -> Any:
    """Give the tangent of a node's output for those of its inputs."""
    u = Variable(_zeros(y.array))
    # The node by itself, cut off from those before it.
    inputs = tuple(Variable(v.array) if isinstance(v, Variable) else v for v in node.inputs)
    learned = tuple(Variable(v.array, v.name) for v in node.learned)
    shares = node.pulled(y, u, inputs, learned)
    total = None
    for share, tangent in zip(shares, tangents, strict=False):
        depends = share is u or (isinstance(share, Variable) and share.creator is not None)
        if depends and tangent is not None:
            term = share * tangent
            term = term.sum() if term.shape else term
            total = term if total is None else total + term
    if total is None:
        return _zeros(y.array)
    total.backward()
    return _zeros(y.array) if u.grad is None else u.grad


def _zeros(value: Any) -> Any:
    if not hasattr(value, "dtype"):
        return 0.0
    xp = shared_namespace("jvp", {"x": value})
    return xp.full(tuple(value.shape), 0.0, dtype=value.dtype, device=native_device(value))
