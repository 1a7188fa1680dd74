"""Where the arrays of a plan lie: buffers used again and again, and updates in place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from koubai.compile.operations import VIEWS, elementwise, layouts
from koubai.compile.plan import Operation, Plan, Value

__all__ = ["Memory", "Storage", "place"]


@dataclass(eq=False)
class Storage:
    """
    A piece of memory that holds one array after the other.

    Attributes
    ----------
    kind : str
        ``input``, ``state`` and ``constant`` are there from the start; a ``buffer`` belongs
        to the plan; an ``output`` is new at each run and given away.
    name : str
        What the table calls it.
    bytes : int
        How large it is.
    """

    kind: str
    name: str
    bytes: int


@dataclass
class Memory:
    """
    The storage of every value, and what is left to do when the operations are done.

    Attributes
    ----------
    storage : dict of Value to Storage
        Views have the storage of the array that they look at.
    base : dict of Value to Value
        For a view, the array that it looks at; for anything else the value itself.
    lies : dict of Value to array
        For every value a blank array with its strides.
    copies : dict of str to Value
        New state that could not be written in place.
    """

    storage: dict[Value, Storage] = field(default_factory=dict)
    base: dict[Value, Value] = field(default_factory=dict)
    lies: dict[Value, Any] = field(default_factory=dict)
    copies: dict[str, Value] = field(default_factory=dict)

    @property
    def buffers(self) -> list[Storage]:
        """The pieces that belong to the plan."""
        return [s for s in dict.fromkeys(self.storage.values()) if s.kind == "buffer"]


def place(plan: Plan) -> Memory:
    """
    Give every value of a plan its place in memory.

    A buffer is free again when the last operation that reads it, or a view of it, is
    done. An operation that goes element by element writes over an operand that nobody
    reads any more; a new parameter over the old one.

    Parameters
    ----------
    plan : Plan
        Simplified, with results of their own.

    Returns
    -------
    Memory
        The places.
    """
    memory = _leaves(plan)
    memory.lies = layouts(plan)
    for operation in plan.operations:
        source = next(operation.reads, None) if operation.name in VIEWS else None
        memory.base[operation.result] = operation.result if source is None else memory.base[source]
    last = _last_reads(plan, memory.base)
    ours = _outputs(plan, memory.base)
    targets = {
        memory.base[value]: plan.state[name]
        for name, value in plan.updates.items()
        if _fits(plan.state.get(name), value) and _is_whole(value, memory)
    }
    free: list[Storage] = []
    names = (f"buffer {number}" for number in count())
    for i, operation in enumerate(plan.operations):
        result = operation.result
        if memory.base[result] is not result:
            memory.storage[result] = memory.storage[memory.base[result]]
        elif result.is_array:
            target = targets.get(result)
            if result in ours:
                found = Storage("output", ours[result], result.bytes)
            elif target is not None and _may_overwrite(operation, target, i, last, memory):
                found = memory.storage[target]
            else:
                spare = _in_place(operation, i, last, memory) or _fitting(free, result.bytes)
                found = spare or Storage("buffer", next(names), result.bytes)
            memory.storage[result] = found
            free += _freed(operation, i, last, memory)
    memory.copies = {
        name: value
        for name, value in plan.updates.items()
        if value.is_array
        and memory.storage[value].kind != "output"
        and memory.storage[value] is not memory.storage[plan.state[name]]
    }
    return memory


def _outputs(plan: Plan, base: Mapping[Value, Value]) -> dict[Value, str]:
    """Name the arrays that a run gives away; a single number is handed over as such."""
    found = {base[value]: f"output {i}" for i, value in enumerate(plan.outputs) if value.shape}
    for name, value in plan.updates.items():
        if value.is_array and not _fits(plan.state.get(name), value):
            found[base[value]] = f"new {name}"
    return found


def _freed(
    operation: Operation, i: int, last: Mapping[Value, int], memory: Memory
) -> list[Storage]:
    """Give the buffers of arrays that nobody reads after this operation."""
    here = memory.storage[operation.result]
    over = []
    seen = (operation.result, *(memory.base[value] for value in operation.reads))
    for value in dict.fromkeys(seen):  # no set, so that a plan is the same each time
        storage = memory.storage.get(value)
        dead = storage is not None and storage.kind == "buffer" and last.get(value, i) <= i
        if storage is not None and dead and (storage is not here or value is operation.result):
            over.append(storage)
    return over


def _leaves(plan: Plan) -> Memory:
    memory = Memory()
    for kind, named in (("input", plan.inputs), ("state", plan.state)):
        for name, value in named.items():
            memory.storage[value] = Storage(kind, name, value.bytes)
    for number, value in enumerate(plan.constants):
        memory.storage[value] = Storage("constant", f"c{number}", value.bytes)
    memory.base.update({value: value for value in memory.storage})
    return memory


def _last_reads(plan: Plan, base: Mapping[Value, Value]) -> dict[Value, int]:
    """Tell for every array at which operation it is read for the last time."""
    last: dict[Value, int] = {}
    for i, operation in enumerate(plan.operations):
        if operation.name not in VIEWS:
            last.update({base[value]: i for value in operation.reads})
    return last | {base[value]: len(plan.operations) for value in plan.results}


def _fits(old: Value | None, new: Value) -> bool:
    return old is not None and (old.shape, old.dtype) == (new.shape, new.dtype)


def _is_whole(value: Value, memory: Memory) -> bool:
    """Tell whether a value is its array, or all of it in the same order."""
    base = memory.base[value]
    return value is base or (value.bytes == base.bytes and memory.lies[value].flags.c_contiguous)


def _may_overwrite(
    operation: Operation, target: Value, i: int, last: Mapping[Value, int], memory: Memory
) -> bool:
    """Tell whether an operation may write its result over the old state."""
    if last.get(target, -1) > i:
        return False
    reading = [value for value in operation.reads if memory.base[value] is target]
    return all(_writes_over(operation, value, memory) for value in reading)


def _in_place(
    operation: Operation, i: int, last: Mapping[Value, int], memory: Memory
) -> Storage | None:
    """Give the storage of an operand that dies here and may be written over."""
    arrays = [value for value in operation.reads if value.is_array]
    for value in arrays:
        base = memory.base[value]
        storage = memory.storage[base]
        alone = all(
            _writes_over(operation, each, memory)
            for each in arrays
            if memory.storage[each] is storage
        )
        same = base.bytes == operation.result.bytes and value.bytes == base.bytes
        if storage.kind == "buffer" and last[base] == i and same and alone:
            return storage
    return None


def _writes_over(operation: Operation, value: Value, memory: Memory) -> bool:
    """Tell whether the result may take the very place of an operand of its layout."""
    result = operation.result
    lies, lying = memory.lies[value], memory.lies[result]
    alike = (lies.shape, lies.strides) == (lying.shape, lying.strides)
    if operation.name == "gemm":
        return alike and value is operation.args[0] and value not in operation.args[1:]
    if operation.name == "where":
        return alike and value is operation.args[2] and value not in operation.args[:2]
    return alike and elementwise(operation.name) and operation.name != "astype"


def _fitting(free: list[Storage], size: int) -> Storage | None:
    """Take the smallest free buffer that is large enough, and not much too large."""
    good = [storage for storage in free if size <= storage.bytes <= 4 * size + 256]
    if not good:
        return None
    best = min(good, key=lambda storage: storage.bytes)
    free.remove(best)
    return best
