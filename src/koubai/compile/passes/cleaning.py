"""Passes that leave things out: what nobody reads, what changes nothing, what is done twice."""

from collections.abc import Mapping
from dataclasses import replace

from koubai.compile.draft import Draft
from koubai.compile.plan import Operand, Operation, Plan, Value

__all__ = ["clip_in_take", "drop_identities", "drop_unused", "merge_equal"]


def drop_unused(plan: Plan) -> Plan:
    """Leave out what nobody reads, such as the gradient of the input."""
    wanted = set(plan.results)
    kept = []
    for operation in reversed(plan.operations):
        if operation.result in wanted or operation.name == "watch":
            kept.append(operation)
            wanted.update(operation.reads)
    return replace(plan, operations=tuple(reversed(kept)))


def drop_identities(plan: Plan) -> Plan:
    """Leave out what changes nothing: times 1, divided by 1, the same shape, the same dtype."""
    draft = Draft(plan)
    for old in plan.operations:
        operation = draft.renamed(old)
        same = _unchanged(operation)
        if same is None:
            draft.keep(operation)
        else:
            draft.instead(operation.result, same)
    return draft.done()


def merge_equal(plan: Plan) -> Plan:
    """Do once what is done twice to the same operands."""
    draft = Draft(plan)
    seen: dict[object, Value] = {}
    for old in plan.operations:
        operation = draft.renamed(old)
        args = tuple(arg if isinstance(arg, Value) else repr(arg) for arg in operation.args)
        key = (operation.name, args, repr(sorted(operation.options.items())))
        if key in seen:
            draft.instead(operation.result, seen[key])
        else:
            seen[key] = draft.keep(operation)
    return draft.done()


def clip_in_take(plan: Plan) -> Plan:
    """Leave it to the look-up in a table to stay within the table."""
    makers = plan.makers()
    draft = Draft(plan)
    for operation in plan.operations:
        if operation.name == "take":
            table, index = operation.reads
            low, high = 0, table.shape[operation.options["axis"]] - 1
            shift = makers.get(index)
            if shift is not None and shift.name == "add" and type(shift.args[1]) is int:
                step = shift.args[1]
                free = _unclipped(makers, shift.args[0], low - step, high - step)
                if free is not None:
                    index = draft.new("add", free, step)
                    options = {**operation.options, "mode": "clip"}
                    operation = replace(operation, args=(table, index), options=options)  # noqa: PLW2901
        draft.keep(operation)
    return drop_unused(draft.done())


def _unchanged(operation: Operation) -> Value | None:
    """Give the operand that an operation gives back as it is, if there is one."""
    first, *rest = operation.args
    result = operation.result
    if operation.name == "multiply" and first == 1 and not isinstance(first, bool):
        first, rest = rest[0], [first]
    if not isinstance(first, Value) or (first.shape, first.dtype) != (result.shape, result.dtype):
        return None
    if not first.is_array:
        return None
    if operation.name in {"multiply", "divide"}:
        number = rest[0]
        return first if not isinstance(number, (Value, bool)) and number == 1 else None
    return first if operation.name in {"astype", "reshape", "broadcast_to", "positive"} else None


def _unclipped(
    makers: Mapping[Value, Operation], value: Operand, low: int, high: int
) -> Value | None:
    """Give x of minimum(maximum(x, low), high)."""
    for name, end in (("minimum", high), ("maximum", low)):
        maker = makers.get(value) if isinstance(value, Value) else None
        if maker is None or maker.name != name or maker.args[1] != end:
            return None
        value = maker.args[0]
    return value if isinstance(value, Value) else None
