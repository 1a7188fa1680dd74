"""Blocks: chains of operations over large arrays, a block of rows at a time."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from koubai.compile.lines import PAIRS, lines_of
from koubai.compile.operations import VIEWS, elementwise
from koubai.compile.passes.layout import has_few_terms
from koubai.compile.plan import Operation, Value
from koubai.compile.scope import LARGE, Scope

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
    (rows, *_), deep = work[0].result.shape, len(work[0].result.shape)
    cut = [v for v in dict.fromkeys(used) if len(v.shape) == deep and v.shape[0] == rows]
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
    result, storage = operation.result, scope.memory.storage
    known = elementwise(operation.name) or has_few_terms(operation)
    if result.dtype is None or not known or len(result.shape) < 2:
        return False
    if scope.library is not np or storage[result].kind == "output":
        return False
    if any(value.by_columns for value in (result, *operation.reads)):
        return False
    if result.size * 8 < LARGE or (not chain and result.bytes < LARGE):
        return False
    first = chain[0].result.shape if chain else result.shape
    if (len(first), first[0]) != (len(result.shape), result.shape[0]):
        return False
    # One buffer must not hold rows of two lengths: blocks would overtake each other.
    used = [value for each in (*chain, operation) for value in (each.result, *each.reads)]
    held = {(storage[value], value.bytes) for value in used if value.is_array}
    return len(held) == len({place for place, _ in held}) and all(
        value.is_array and value not in scope.late and _goes_by_rows(scope, value, operation)
        for value in operation.reads
    )


def _goes_by_rows(scope: Scope, value: Value, operation: Operation) -> bool:
    """Tell whether an operand can be cut into the rows of the result, or is the same for all."""
    maker, (rows, *others) = scope.makers.get(value), operation.result.shape
    if operation.name == "matmul" and value is operation.args[1]:
        return (maker is None or maker.name == "copy") and value.shape[0] != rows
    if maker is not None and maker.name in VIEWS:
        # A transpose, say, needs every row of what it looks at.
        looks_at = replace(operation, args=maker.args)
        return maker.name == "bitcast" and _goes_by_rows(scope, maker.arrays[0], looks_at)
    return len(value.shape) <= len(others) or value.shape[0] in {1, rows}
