"""A pass that chooses between two values without a branch."""

from dataclasses import replace
from math import isnan

import numpy as np

from koubai.compile.draft import Draft
from koubai.compile.plan import Operand, Operation, Plan, Value

__all__ = ["select_by_bits"]

_FEW = 2048  # elements for which a copy under a mask takes less than the calls for the bits
_MANY = 1 << 12  # elements for which NumPy widens integers sooner in a call of its own
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def select_by_bits(plan: Plan) -> Plan:
    """Choose by and-ing bits: no branch that a processor could guess wrong."""
    draft = Draft(plan)
    for operation in plan.operations:
        if not _possible(operation) or not _select(draft, operation):
            draft.keep(operation)
    return draft.done()


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
