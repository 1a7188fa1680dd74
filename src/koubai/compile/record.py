"""Record: run a function once, on arrays that write down what is done to them."""

from collections.abc import Callable, Mapping
from typing import Any

from koubai.arrays import NUMPY
from koubai.compile.namespace import namespace_for
from koubai.compile.plan import Plan, Value
from koubai.compile.recording import Recording
from koubai.typing import Namespace

__all__ = ["flatten", "record", "unflatten"]


def record(
    function: Callable[..., Any],
    state: Mapping[str, Any],
    inputs: Mapping[str, Any],
    xp: Namespace = NUMPY,
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
    recording = Recording(xp, namespace_for(xp))
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
