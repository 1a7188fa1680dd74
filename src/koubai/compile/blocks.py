"""Blocks: chains of operations over large arrays, a block of rows at a time."""

from collections.abc import Iterator

import numpy as np

from koubai.compile.lines import PAIRS, lines_of
from koubai.compile.operations import LARGE, VIEWS, elementwise, has_few_terms
from koubai.compile.plan import Operation, Value
from koubai.compile.scope import Scope

__all__ = ["all_lines"]

_CACHE = 1 << 18  # bytes of a block's arrays: they stay in a core's own cache


def all_lines(scope: Scope) -> Iterator[str]:
    """
    Write all operations, and those that go element by element over large arrays as loops.

    Parameters
    ----------
    scope : Scope
        What the lines know; names that they need are added.

    Yields
    ------
    str
        A line of Python.
    """
    for chain in _chains(scope):
        work = [o for o in chain if o.name not in VIEWS and o.result.is_array]
        paired = any(o.name in PAIRS and _may_join(scope, [], o) for o in work)
        if len(work) > 1 or paired:
            yield from _loop(scope, chain, work)
        else:
            for operation in chain:
                yield from lines_of(scope, operation)


def _chains(scope: Scope) -> Iterator[list[Operation]]:
    """Put neighbours together that go element by element over the same large rows."""
    chain: list[Operation] = []
    waiting: list[Operation] = []
    for operation in scope.plan.operations:
        free = operation.name in VIEWS or operation.result.dtype is None
        if free and chain and operation.name != "watch":
            waiting.append(operation)
        elif chain and _may_join(scope, chain, operation):
            chain += [*waiting, operation]
            waiting = []
        else:
            yield from (chain, waiting)
            waiting = []
            chain = [operation] if _may_join(scope, [], operation) else []
            if not chain:
                yield [operation]
    yield from (chain, waiting)


def _loop(scope: Scope, chain: list[Operation], work: list[Operation]) -> Iterator[str]:
    """Write a chain as a loop over blocks of rows, so small that they stay in the cache."""
    for operation in chain:
        if operation in work:
            scope.place(operation.result)
        else:
            yield from lines_of(scope, operation)
    used = [value for operation in work for value in (operation.result, *operation.reads)]
    rows = work[0].result.shape[0]
    cut = [value for value in dict.fromkeys(used) if _is_cut(value, work[0].result)]
    arrays = [scope.arrays[value] for value in cut]
    row = sum({a.ctypes.data: v.bytes for a, v in zip(arrays, cut, strict=True)}.values()) // rows
    step = min(rows, max(1, _CACHE // max(row, 1)))
    scope.cut, scope.rows, scope.repeated = set(cut), step, {}
    lines = [line for operation in work for line in lines_of(scope, operation)]
    names = [*map(scope.operand, cut), *scope.repeated]
    scope.cut, scope.rows = set(), 0
    blocks = [
        (
            *(array[start : start + step] for array in arrays),
            *(array[: rows - start] for array in scope.repeated.values()),
        )
        for start in range(0, rows, step)
    ]
    yield f"for {''.join(f'{name}, ' for name in names)}in {scope.know(blocks, 'blocks')}:"
    yield from (f"    {line}" for line in lines)


def _may_join(scope: Scope, chain: list[Operation], operation: Operation) -> bool:
    result, thin = operation.result, has_few_terms(operation)
    if result.dtype is None or len(result.shape) < 2 or not (elementwise(operation.name) or thin):
        return False
    if scope.library is not np or scope.memory.storage[result].kind == "output":
        return False
    if result.size * 8 < LARGE or (not chain and result.bytes < LARGE):
        return False
    first = chain[0].result.shape if chain else result.shape
    if (len(first), first[0]) != (len(result.shape), result.shape[0]):
        return False
    operands = list(operation.reads)
    if thin and not _is_whole(scope, operands.pop(), result):
        return False
    fit = not result.by_columns and all(_goes_by_rows(scope, each, result) for each in operands)
    return fit and _are_apart(scope, [*chain, operation])


def _goes_by_rows(scope: Scope, value: Value, result: Value) -> bool:
    """Tell whether an operand can be cut into the rows of the result, or is the same for all."""
    if value in scope.late or value.by_columns or not value.is_array:
        return False
    maker = scope.makers.get(value)
    if maker is not None and maker.name in VIEWS:
        # A transpose, say, needs every row of what it looks at.
        return maker.name == "bitcast" and _goes_by_rows(scope, maker.arrays[0], result)
    return len(value.shape) < len(result.shape) or value.shape[0] in {1, result.shape[0]}


def _is_whole(scope: Scope, right: Value, result: Value) -> bool:
    """Tell whether the right operand of a product is there before, and not cut by mistake."""
    maker = scope.makers.get(right)
    there = maker is None or maker.name == "copy"
    fits = right not in scope.late and not right.by_columns
    return there and fits and right.shape[0] != result.shape[0]


def _are_apart(scope: Scope, chain: list[Operation]) -> bool:
    """Tell whether no block writes what another one is still to read."""
    storage, results = scope.memory.storage, [operation.result for operation in chain]
    read = [value for operation in chain for value in operation.reads]
    cut = {value for value in (*results, *read) if _is_cut(value, results[0])}
    lengths = {(storage[value], value.bytes) for value in cut}
    written = {storage[value] for value in results}
    return len(lengths) == len({place for place, _ in lengths}) and not any(
        storage[value] in written for value in read if value not in cut
    )


def _is_cut(value: Value, result: Value) -> bool:
    return len(value.shape) == len(result.shape) and value.shape[0] == result.shape[0]
