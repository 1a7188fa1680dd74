"""The passes: each takes a plan and gives a plan that does the same with less work."""

from dataclasses import replace

from koubai.compile.operations import VIEWS
from koubai.compile.passes.bits import select_by_bits, select_by_result
from koubai.compile.passes.cleaning import (
    clip_in_take,
    drop_identities,
    drop_unused,
    merge_equal,
)
from koubai.compile.passes.layout import (
    few_terms_by_rows,
    own_results,
    short_rows_by_columns,
    views_once,
)
from koubai.compile.passes.order import update_early
from koubai.compile.passes.products import (
    bias_first,
    join_products,
    sums_as_products,
    zeros_by_product,
)
from koubai.compile.passes.scaling import divide_last
from koubai.compile.plan import Pass, Plan

__all__ = [
    "FIRST",
    "LAST",
    "ON_THE_HOST",
    "WITH_BLAS",
    "bias_first",
    "clip_in_take",
    "divide_last",
    "drop_identities",
    "drop_unused",
    "few_terms_by_rows",
    "join_products",
    "merge_equal",
    "own_results",
    "select_by_bits",
    "select_by_result",
    "short_rows_by_columns",
    "simplify",
    "sums_as_products",
    "update_early",
    "views_once",
    "zeros_by_product",
]

# In their order. Those on the host suit NumPy's loops, or look at a number while the plan runs.
FIRST: tuple[Pass, ...] = (drop_unused, drop_identities, merge_equal, divide_last)
ON_THE_HOST: tuple[Pass, ...] = (
    clip_in_take,
    short_rows_by_columns,
    few_terms_by_rows,
    zeros_by_product,
    sums_as_products,
    select_by_result,
    select_by_bits,
)
WITH_BLAS: tuple[Pass, ...] = (join_products, bias_first)
LAST: tuple[Pass, ...] = (merge_equal, drop_unused, update_early, views_once, own_results)


def simplify(plan: Plan, passes: tuple[Pass, ...]) -> Plan:
    """
    Run passes one after the other, and note what each did.

    Parameters
    ----------
    plan : Plan
        As it was recorded.
    passes : tuple of callable
        From plan to plan.

    Returns
    -------
    Plan
        The last, with a note of every pass.
    """
    notes = [f"{'recorded':<21} {_count(plan):>3} operations"]
    for each in passes:
        before, plan = plan, each(plan)
        summary = (each.__doc__ or "").strip().partition("\n")[0]
        changed = "" if _same(before, plan) else summary
        notes.append(f"{each.__name__:<21} {_count(plan):>3} operations  {changed}".rstrip())
    return replace(plan, notes=tuple(notes))


def _count(plan: Plan) -> int:
    return sum(o.name not in VIEWS and o.result.dtype is not None for o in plan.operations)


def _same(one: Plan, other: Plan) -> bool:
    mine, yours = one.operations, other.operations
    return [o.result for o in mine] == [o.result for o in yours] and [o.name for o in mine] == [
        o.name for o in yours
    ]
