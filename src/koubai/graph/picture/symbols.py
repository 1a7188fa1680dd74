"""The signs and formulas by which a picture tells of a layer: one row a class."""

from dataclasses import dataclass

__all__ = ["SYMBOLS", "Symbol", "symbol_of"]


@dataclass(frozen=True)
class Symbol:
    """
    How a layer is drawn and told.

    Attributes
    ----------
    sign : str
        What stands in its circle; empty for a layer that is drawn as a box.
    formula : str
        What it computes; the inputs are x and y, or x, W, b; the output is z.
    rules : tuple of str
        For each input, what comes back to it; d is the derivative that comes from behind.
    """

    sign: str
    formula: str
    rules: tuple[str, ...]


SYMBOLS: dict[str, Symbol] = {
    "AddLayer": Symbol("+", "z = x + y", ("∂z/∂x = 1", "∂z/∂y = 1")),
    "SubLayer": Symbol("−", "z = x − y", ("∂z/∂x = 1", "∂z/∂y = −1")),
    "MulLayer": Symbol("×", "z = x × y", ("∂z/∂x = y", "∂z/∂y = x")),
    "DivLayer": Symbol("/", "z = x / y", ("∂z/∂x = 1 / y", "∂z/∂y = −x / y²")),
    "PowLayer": Symbol("xʸ", "z = xʸ", ("∂z/∂x = y xʸ⁻¹", "∂z/∂y = xʸ log x")),
    "NegLayer": Symbol("−x", "z = −x", ("∂z/∂x = −1",)),
    "MatMul": Symbol("dot", "z = x · y", ("dx = d · yᵀ", "dy = xᵀ · d")),
    "Exp": Symbol("exp", "z = exp(x)", ("∂z/∂x = exp(x) = z",)),
    "Log": Symbol("log", "z = log(x)", ("∂z/∂x = 1 / x",)),
    "Abs": Symbol("|x|", "z = |x|", ("∂z/∂x = −1 below 0, 1 above",)),
    "Tanh": Symbol("tanh", "z = tanh(x)", ("∂z/∂x = 1 − z²",)),
    "Maximum": Symbol(
        "max", "z = the larger of x and y", ("1 where x is larger", "1 where y is larger")
    ),
    "Minimum": Symbol(
        "min", "z = the smaller of x and y", ("1 where x is smaller", "1 where y is smaller")
    ),
    "Where": Symbol(
        "where", "z = x where the condition holds, else y", ("", "1 where it holds", "1 elsewhere")
    ),
    "Sum": Symbol("Σ", "z = the sum of x", ("dx = d, as often as it was added",)),
    "Mean": Symbol("mean", "z = the mean of x", ("dx = d / n, n numbers in a mean",)),
    "Max": Symbol("max", "z = the largest of x", ("d to the largest, 0 to the others",)),
    "Min": Symbol("min", "z = the smallest of x", ("d to the smallest, 0 to the others",)),
    "Reshape": Symbol("shape", "z = x in another shape", ("dx = d in the shape of x",)),
    "Transpose": Symbol("xᵀ", "z = x with its axes in another order", ("dx = d, turned back",)),
    "Relu": Symbol("", "z = max(x, 0)", ("∂z/∂x = 1 where x > 0, else 0",)),
    "Sigmoid": Symbol("", "z = 1 / (1 + exp(−x))", ("∂z/∂x = z (1 − z)",)),
    "Affine": Symbol(
        "", "z = x · W + b", ("dx = d · Wᵀ", "dW = xᵀ · d", "db = d, summed over the batch")
    ),
    "SoftmaxWithLoss": Symbol(
        "", "z = −Σ t log softmax(x) / N", ("dx = (softmax(x) − t) / N × d", "")
    ),
    "IdentityWithLoss": Symbol("", "z = Σ (x − t)² / 2N", ("dx = (x − t) / N × d", "")),
}


def symbol_of(layer: str) -> Symbol:
    """Give the row of a class of layers; for an unknown class, one that says nothing."""
    return SYMBOLS.get(layer, Symbol("", "", ()))
