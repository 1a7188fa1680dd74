"""Passes that hand work to BLAS: sums as products, and products that add themselves up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from koubai.compile.draft import Draft
from koubai.compile.operations import layouts
from koubai.compile.passes.cleaning import drop_unused
from koubai.compile.plan import Operand, Operation, Plan, Value

__all__ = ["bias_first", "join_products", "sums_as_products", "zeros_by_product"]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_FEW = 512  # elements to which a bias is sooner added


def zeros_by_product(plan: Plan) -> Plan:
    """Let a factor of 0 choose by itself: in sum(a * where(a == 0, 0, w)) no choice is needed."""
    return _sums_rewritten(plan, partial(_dot, chooses=True))


def sums_as_products(plan: Plan) -> Plan:
    """Let BLAS add up: a sum along one axis is a product with ones, sum(a * b) is a dot product."""
    return _sums_rewritten(plan, _dot, _ones)


def join_products(plan: Plan) -> Plan:
    """Let one BLAS call do beta * C + alpha * (A @ B): the whole update of a weight matrix."""
    around = _Surroundings(plan)
    draft = Draft(plan)
    for operation in plan.operations:
        turns = [operation.arrays, operation.arrays[::-1]] if operation.arrays else []
        if operation.name not in {"add", "subtract"}:
            turns = []
        if operation.name == "subtract":
            turns = turns[:1]
        if not any(_join(draft, operation, c, product, around) for c, product in turns):
            draft.keep(operation)
    return drop_unused(draft.done())


def bias_first(plan: Plan) -> Plan:
    """Write a bias into the result first, so that the matrix product adds itself to it."""
    around = _Surroundings(plan)
    draft = Draft(plan)
    for operation in plan.operations:
        result = operation.result
        fits = operation.name == "add" and result.size > _FEW
        turns = [operation.arrays, operation.arrays[::-1]] if fits and operation.arrays else []
        for product, bias in turns:
            matmul = around.product(product)
            alike = bias.dtype == result.dtype and product.shape == result.shape
            alike = alike and product.by_columns == result.by_columns
            if matmul and alike and matmul.result is product and bias.size < result.size:
                draft.put(result, "gemm", bias, *matmul.args, 1.0, 1.0)
                break
        else:
            draft.keep(operation)
    return drop_unused(draft.done())


@dataclass
class _Surroundings:
    """What comes before and after a value, and how it lies in memory."""

    plan: Plan
    makers: Mapping[Value, Operation] = field(init=False)
    readers: Mapping[Value, list[Operation]] = field(init=False)
    lies: Mapping[Value, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.makers, self.readers = self.plan.makers(), self.plan.readers()
        self.lies = layouts(self.plan)

    def only_maker(self, value: Value) -> Operation | None:
        """Give the maker of a value that one operation reads, and nobody else."""
        alone = len(self.readers.get(value, ())) == 1 and value not in self.plan.results
        return self.makers.get(value) if alone else None

    def product(self, value: Value) -> Operation | None:
        """Give the matrix product behind a value and its reshaping, if BLAS can do it."""
        maker = self.only_maker(value)
        if maker is not None and maker.name == "reshape":
            maker = self.only_maker(maker.arrays[0])
        good = maker is not None and maker.name == "matmul" and self._blas_can(maker)
        return maker if good else None

    def scaled(self, value: Value) -> tuple[Value, Operand]:
        """Take a number off its product with an array."""
        maker = self.only_maker(value)
        if maker is not None and maker.name == "multiply":
            arrays = [v for v in maker.reads if v.is_array]
            numbers = [arg for arg in maker.args if arg not in arrays]
            if len(arrays) == len(numbers) == 1:
                return arrays[0], numbers[0]
        return value, 1.0

    def nonzero_only(self, value: Value, other: Value) -> Value | None:
        """Give w of where(other == 0, 0.0, w)."""
        choice = self.only_maker(value)
        if choice is None or choice.name != "where" or choice.args[1] != 0:
            return None
        mask, _, chosen = choice.args
        test = self.makers.get(mask) if isinstance(mask, Value) else None
        if test is None or test.name != "equal" or test.args[0] is not other or test.args[1] != 0:
            return None
        return chosen if isinstance(chosen, Value) else None

    def _blas_can(self, matmul: Operation) -> bool:
        """Tell whether both matrices lie in one direction without gaps."""
        return all(
            len(value.shape) == 2
            and value.dtype in _FLOATS
            and value.dtype == matmul.result.dtype
            and value.size > 0
            and value.dtype.itemsize in self.lies[value].strides
            and min(self.lies[value].strides) > 0
            for value in matmul.arrays
        )


def _sums_rewritten(plan: Plan, *ways: Callable[..., bool]) -> Plan:
    """Write each sum of floating-point numbers in the first way that goes."""
    around = _Surroundings(plan)
    draft = Draft(plan)
    for operation in plan.operations:
        is_sum = operation.name == "sum" and operation.result.dtype in _FLOATS
        if not is_sum or not any(way(draft, operation, around) for way in ways):
            draft.keep(operation)
    return drop_unused(draft.done())


def _dot(
    draft: Draft, operation: Operation, around: _Surroundings, *, chooses: bool = False
) -> bool:
    """
    Write the sum of all products of two arrays as one product of vectors.

    With ``chooses`` only those of which one factor is 0 wherever the other is, by a choice
    that is left out; a run that finds no finite number does it again with care.
    """
    (array,) = operation.arrays
    maker = around.only_maker(array)
    whole = len(operation.options["axis"]) == len(array.shape)
    if not whole or maker is None or maker.name != "multiply" or not maker.arrays:
        return False
    a, b = maker.arrays
    chosen = around.nonzero_only(b, a) if chooses else b
    if chosen is None:
        return False
    factors = a, chosen
    forms = {(v.shape, v.dtype, around.lies[v].strides) for v in factors}
    lies = around.lies[factors[0]]
    if forms != {(array.shape, operation.result.dtype, lies.strides)} or not lies.flags.forc:
        return False
    vectors = [_flat(draft, value, lies) for value in factors]
    name = "dot_of_nonzero" if chooses else "dot"
    draft.reshaped(operation.result, Value((), array.dtype), name, *vectors)
    return True


def _flat(draft: Draft, value: Value, lies: Any) -> Value:
    if len(value.shape) == 1:
        return value
    if not lies.flags.c_contiguous:
        axes = tuple(range(len(value.shape)))[::-1]
        value = draft.new("permute_dims", value, axes=axes)
    return draft.new("reshape", value, shape=(value.size,))


def _ones(draft: Draft, operation: Operation, _: _Surroundings) -> bool:
    """Write a sum along one axis of a matrix as its product with ones."""
    (array,) = operation.arrays
    axis = operation.options["axis"]
    if len(array.shape) != 2 or len(axis) != 1 or array.dtype != operation.result.dtype:
        return False
    rows, columns = array.shape
    if axis == (0,):
        ones = draft.constant(np.ones((1, rows), array.dtype))
        draft.reshaped(operation.result, Value((1, columns), array.dtype), "matmul", ones, array)
    else:
        ones = draft.constant(np.ones((columns, 1), array.dtype))
        draft.reshaped(operation.result, Value((rows, 1), array.dtype), "matmul", array, ones)
    return True


def _join(
    draft: Draft, operation: Operation, c: Value, product: Value, around: _Surroundings
) -> bool:
    """Write c + product, or c - product, as one product that adds itself to C."""
    result = operation.result
    (base, beta), (inner, alpha) = around.scaled(c), around.scaled(product)
    matmul = around.product(inner)
    if not isinstance(beta, Value) and beta == 0:
        return False  # BLAS would not even look at C, which may hold NaN
    if matmul is None or (base.shape, base.dtype) != (result.shape, result.dtype):
        return False
    if matmul.result.dtype != result.dtype or matmul.result.size != result.size:
        return False
    if operation.name == "subtract":
        alpha = draft.new("negative", alpha) if isinstance(alpha, Value) else -alpha
    inside = Value(matmul.result.shape, result.dtype)
    if base.shape != inside.shape:
        base = draft.new("reshape", base, shape=inside.shape)
    draft.reshaped(result, inside, "gemm", base, *matmul.args, alpha, beta)
    return True
