"""Passes that choose between two values without a branch."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from math import isnan

import numpy as np

from koubai.compile.draft import Draft
from koubai.compile.passes.cleaning import drop_unused
from koubai.compile.plan import Operand, Operation, Plan, Value

__all__ = ["select_by_bits", "select_by_result"]

_FEW = 2048  # elements for which a copy under a mask takes less than the calls for the bits
_MANY = 1 << 12  # elements for which NumPy widens integers sooner in a call of its own
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def select_by_result(plan: Plan) -> Plan:
    """Let a gradient be 0 where max(x, 0) is 0: its bits, times 0 or 1."""
    makers, draft = plan.makers(), Draft(plan)
    results: dict[Value, Value] = {}
    for operation in plan.operations:
        if _is_relu(operation):
            results[next(operation.reads)] = operation.result
        x, d = _shut(operation, makers) or (None, None)
        y = results.get(x) if x else None
        alike = d and y and (d.shape, d.dtype) == (y.shape, y.dtype)
        if d and y and alike and _is_kept(y, operation, plan):
            word = np.dtype(f"uint{8 * d.dtype.itemsize}")
            bits = draft.new("minimum", draft.new("bitcast", y, dtype=word), 1)
            bits = draft.new("multiply", draft.new("bitcast", d, dtype=word), bits)
            draft.put(operation.result, "bitcast", bits, dtype=d.dtype)
        else:
            draft.keep(operation)
    return drop_unused(draft.done())


def select_by_bits(plan: Plan) -> Plan:
    """Choose by and-ing bits: no branch that a processor could guess wrong."""
    draft = Draft(plan)
    for operation in plan.operations:
        if not _possible(operation) or not _select(draft, operation):
            draft.keep(operation)
    return draft.done()


def _is_relu(operation: Operation) -> bool:
    """Tell whether this is max(x, 0), and 0 where x is -0."""
    dtype = operation.result.dtype
    if operation.name != "maximum" or dtype not in _FLOATS:
        return False
    x, floor = operation.args
    is_zero = not isinstance(floor, Value) and _word(floor, dtype) == 0
    return is_zero and isinstance(x, Value) and x.dtype == dtype and _gives_no_minus_zero(dtype)


@cache
def _gives_no_minus_zero(dtype: np.dtype) -> bool:
    """Ask NumPy for max(-0, 0), in each of the loops that it has for it."""
    x = np.full((67, 2), -0.0, dtype)
    zeros = np.zeros_like(x)
    found = (np.maximum(x, zeros), np.maximum(x[:, 0], zeros[:, 0]), np.maximum(x, 0.0))
    return not any(np.any(np.signbit(each)) for each in found)


def _shut(operation: Operation, makers: Mapping[Value, Operation]) -> tuple[Value, Value] | None:
    """Give x and d of where(x <= 0, 0, d)."""
    if not _possible(operation):
        return None
    mask, shut, d = operation.args
    if isinstance(shut, Value) or _word(shut, operation.result.dtype) != 0:
        return None
    test = makers.get(mask) if isinstance(mask, Value) else None
    if test is None or test.name != "less_equal" or test.args[1] != 0:
        return None
    x = test.args[0]
    return (x, d) if isinstance(x, Value) and isinstance(d, Value) else None


def _is_kept(y: Value, choice: Operation, plan: Plan) -> bool:
    """Tell whether y is read for more than the choice, so that it is there anyway."""
    makers = plan.makers()
    leads_to_it: set[Value] = set()
    found = [choice.result]
    while found:
        value = found.pop()
        if value not in leads_to_it:
            leads_to_it.add(value)
            found += makers[value].reads if value in makers else ()
    return any(y in o.reads and o.result not in leads_to_it for o in plan.operations)


def _possible(operation: Operation) -> bool:
    """Tell whether this is a choice among many numbers of one floating-point dtype."""
    dtype = operation.result.dtype
    if operation.name != "where" or operation.result.size <= _FEW or dtype not in _FLOATS:
        return False
    mask, *choices = operation.args
    alike = all(arg.dtype == dtype for arg in choices if isinstance(arg, Value))
    return alike and isinstance(mask, Value)


def _select(draft: Draft, operation: Operation) -> bool:
    """Write the choice as bit operations, if it comes out in its shape."""
    mask, yes, no = operation.args
    dtype = operation.result.dtype
    integer = np.dtype(f"int{8 * dtype.itemsize}")
    flags = draft.new("bitcast", mask, dtype=np.dtype(np.int8))

    def masked(arg: Operand, other: Operand, *, holds: bool) -> list[Value]:
        """Give the bits of an operand where the mask holds (or does not), and else zeros."""
        if not isinstance(arg, Value) and _word(arg, dtype) == 0:
            return []
        if isinstance(arg, Value) and _is_nan(other):
            return [draft.new("bitcast", arg, dtype=integer)]
        # -1 has all its bits set, 0 none; and a number with all bits set is NaN.
        all_or_none = ("negative", flags) if holds else ("subtract", flags, 1)
        if flags.size <= _MANY:
            bits = draft.put(replace(flags, dtype=integer), *all_or_none)
        else:
            bits = draft.new("astype", draft.new(*all_or_none), dtype=integer)
        if _is_nan(arg):
            return [bits]
        word = draft.new("bitcast", arg, dtype=integer) if isinstance(arg, Value) else None
        return [draft.new("bitwise_and", bits, _word(arg, dtype) if word is None else word)]

    parts = masked(yes, no, holds=True) + masked(no, yes, holds=False)
    whole = parts[0] if len(parts) == 1 else draft.new("bitwise_or", *parts)
    if whole.shape != operation.result.shape:
        return False
    draft.put(operation.result, "bitcast", whole, dtype=dtype)
    return True


def _is_nan(arg: Operand) -> bool:
    return isinstance(arg, float) and isnan(arg)


def _word(number: Operand, dtype: np.dtype) -> int:
    """Give the bits of a number, read as an integer."""
    return int(np.asarray(number, dtype).view(f"int{8 * dtype.itemsize}"))
