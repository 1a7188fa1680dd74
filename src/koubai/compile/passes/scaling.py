"""A pass that divides late: at a number that multiplies the result anyway."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from koubai.compile.draft import Draft
from koubai.compile.plan import Operation, Plan, Value

__all__ = ["divide_last"]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_MOST = 1 << 16  # times that values on the way may become larger
_CARRY = frozenset({"matmul", "negative", "permute_dims", "reshape", "sum"})

_Readers: TypeAlias = Mapping[Value, list[Operation]]


def divide_last(plan: Plan) -> Plan:
    """Divide a number that multiplies the gradients anyway, not the arrays that they come from."""
    readers, draft = plan.readers(), Draft(plan)
    later: dict[Operation, float] = {}
    for old in plan.operations:
        operation = draft.renamed(old)
        by = _divisor(operation)
        ends = _ends(old.result, readers, plan) if by else None
        if by and ends and later.keys().isdisjoint(ends):
            later |= dict.fromkeys(ends, by)
            draft.instead(old.result, next(operation.reads))
        elif old in later and (parts := _number_and_array(operation)):
            number, array = parts
            number = draft.new("divide", number, later[old])
            draft.put(old.result, "multiply", number, array)
        else:
            draft.keep(operation)
    return draft.done()


def _divisor(operation: Operation) -> float | None:
    """Give the number of samples, or one like it, that an array is divided by."""
    if operation.name != "divide" or operation.result.dtype not in _FLOATS:
        return None
    array, by = operation.args
    if not isinstance(array, Value) or array.dtype != operation.result.dtype:
        return None
    return by if isinstance(by, (int, float)) and 1 <= by <= _MOST else None


def _ends(value: Value, readers: _Readers, plan: Plan) -> list[Operation] | None:
    """Give the products with a number that all ways from a value lead to, if they all do."""
    found: list[Operation] = []
    grown = [value]
    passed: set[Operation] = set()
    for each in grown:  # which becomes longer meanwhile
        if each in plan.results or each not in readers:
            return None
        for reader in readers[each]:
            if reader.name == "multiply" and _number_and_array(reader):
                found.append(reader)
            elif reader not in passed and _carries(reader, each):
                passed.add(reader)
                grown.append(reader.result)
            else:  # or it would grow twice, as a product of two such values
                return None
    return found


def _carries(operation: Operation, value: Value) -> bool:
    """Tell whether twice the value gives twice the result."""
    if operation.name == "where":
        mask, *choices = operation.args
        others = [arg for arg in choices if arg is not value]
        return mask is not value and all(not isinstance(arg, Value) and arg == 0 for arg in others)
    return operation.name in _CARRY and operation.args.count(value) == 1


def _number_and_array(multiply: Operation) -> tuple[Value, Value] | None:
    """Give the number of the state, such as a learning rate, and the array that it multiplies."""
    values = [arg for arg in multiply.args if isinstance(arg, Value)]
    values.sort(key=lambda value: value.is_array)
    if [value.is_array for value in values] != [False, True]:
        return None
    return values[0], values[1]
