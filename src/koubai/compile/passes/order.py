"""A pass that changes the order of operations."""

from dataclasses import replace

from koubai.compile.operations import VIEWS, base_of
from koubai.compile.plan import Operation, Plan, Value

__all__ = ["update_early"]


def update_early(plan: Plan) -> Plan:
    """Update each parameter as soon as its old value has been read for the last time."""
    makers, readers = plan.makers(), plan.readers()
    place = {operation: i for i, operation in enumerate(plan.operations)}
    old = {
        base_of(makers, value): plan.state.get(name)
        for name, value in plan.updates.items()
        if value.dtype is not None
    }
    last_watch = max((place[o] for o in plan.operations if o.name == "watch"), default=-1)
    last_read: dict[Value | None, int] = {None: -1}
    for operation in plan.operations:
        for value in operation.reads:
            base = base_of(makers, value)
            if operation.name not in VIEWS and old.get(operation.result) is not base:
                last_read[base] = place[operation]
    # An update can be moved where only updates read it, and so can what serves it alone.
    movable: set[Operation] = set()
    for operation in reversed(plan.operations):
        result, after = operation.result, readers.get(operation.result, [])
        sizes = {result.size, *(each.result.size for each in after)}
        serves = bool(after) and result not in plan.results
        serves = serves and (not result.is_array or len(sizes) == 1)
        if movable.issuperset(after) and (base_of(makers, result) in old or serves):
            movable.add(operation)

    def ready(operation: Operation) -> int:
        """Tell behind which operation that stays in its place this one can be done."""
        found = [makers[value] for value in operation.reads if value in makers]
        return max((ready(o) if o in movable else place[o] for o in found), default=-1)

    when = dict(place)
    for operation in reversed(plan.operations):
        if operation not in movable:
            continue
        following = [when[o] for o in readers.get(operation.result, ()) if o in movable]
        if not following or operation.result in old:
            read = last_read.get(old.get(operation.result), -1)
            following.append(max(ready(operation), read, last_watch))
        when[operation] = min(following)
    order = sorted(plan.operations, key=lambda o: (when[o], o in movable, place[o]))
    return replace(plan, operations=tuple(order))
