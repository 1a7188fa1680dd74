"""Passes that decide how arrays lie: by rows or columns, as views, as copies."""

from dataclasses import replace

import numpy as np

from koubai.compile.draft import Draft
from koubai.compile.operations import VIEWS, base_of, elementwise, has_few_terms, layouts
from koubai.compile.plan import Operation, Plan, Value

__all__ = ["few_terms_by_rows", "own_results", "short_rows_by_columns", "views_once"]

_SHORT = 32  # elements of a row over which NumPy's inner loop is mostly overhead
_LONG = 1 << 20  # multiplications from which BLAS is faster at rows, and a copy not worth a word


def short_rows_by_columns(plan: Plan) -> Plan:
    """Lay a matrix of many short rows by columns, so that NumPy runs along its long side."""
    makers = plan.makers()
    fixed = {base_of(makers, value) for value in plan.results}
    for operation in plan.operations:
        if operation.name == "matmul" and _is_long(operation):
            fixed |= {operation.result, *operation.reads}
    known = {value.shape for value in plan.state.values()}
    draft = Draft(plan)
    for old in plan.operations:
        operation, result = draft.renamed(old), old.result
        looked_up = old.name == "take" and len(old.arrays[0].shape) == 2
        computed = elementwise(old.name) or old.name == "matmul" or looked_up
        rows, columns = result.shape if len(result.shape) == 2 else (0, 0)
        short = 1 < columns <= _SHORT and rows >= 2 * columns
        if computed and short and result not in fixed and result.shape not in known:
            lying = replace(result, by_columns=True)
            draft.instead(result, lying)
            operation = replace(operation, result=lying)
        draft.keep(operation)
    return draft.done()


def _is_long(matmul: Operation) -> bool:
    first = next(matmul.reads)
    return len(first.shape) == 2 and matmul.result.size * first.shape[1] >= _LONG


def few_terms_by_rows(plan: Plan) -> Plan:
    """Lay a matrix of few rows by rows, where its product writes more than it computes."""
    makers, draft = plan.makers(), Draft(plan)
    for old in plan.operations:
        operation = draft.renamed(old)
        maker = makers.get(old.arrays[1]) if has_few_terms(old) else None
        if maker and maker.name == "permute_dims":
            first, second = operation.arrays
            by_rows = draft.put(Value(second.shape, second.dtype), "copy", second)
            operation = replace(operation, args=(first, by_rows))
        draft.keep(operation)
    return draft.done()


def views_once(plan: Plan) -> Plan:
    """Look at arrays where they lie, at no cost; copy where the layout does not allow it."""
    lies = layouts(plan)
    draft = Draft(plan)
    for old in plan.operations:
        operation = draft.renamed(old)
        source = next(old.reads, None)
        looks = old.name in VIEWS and source is not None and source.is_array
        if looks and source and not np.may_share_memory(lies[old.result], lies[source]):
            copied = draft.put(Value(source.shape, source.dtype), "copy", *operation.args)
            operation = replace(operation, args=(copied,))
        draft.keep(operation)
    return draft.done()


def own_results(plan: Plan) -> Plan:
    """Copy a result that would otherwise be an input, a constant or a part of another result."""
    makers = plan.makers()
    draft = Draft(plan)
    for operation in plan.operations:
        draft.keep(operation)
    taken: set[Value] = set()

    def own(value: Value, *, may_be_view: bool) -> Value:
        base = base_of(makers, value)
        good = base in makers and base not in taken and (may_be_view or base is value)
        taken.add(base)
        if good or not value.is_array:
            return value
        return draft.put(Value(value.shape, value.dtype), "copy", value)

    updates = {name: own(value, may_be_view=True) for name, value in plan.updates.items()}
    outputs = tuple(own(value, may_be_view=False) for value in plan.outputs)
    return replace(draft.done(), outputs=outputs, updates=updates)
