"""The layers: each a ``forward`` and a ``backward``, written once for every array library."""

from typing import TYPE_CHECKING

from koubai.later import later
from koubai.layers.activation import Relu, Sigmoid, Tanh
from koubai.layers.affine import Affine
from koubai.layers.arithmetic import AddLayer, MulLayer
from koubai.layers.base import Layer
from koubai.layers.loss import IdentityWithLoss, LossLayer, SoftmaxWithLoss

if TYPE_CHECKING:
    from koubai.layers.elementary import Abs, Cast, Exp, Log
    from koubai.layers.matmul import MatMul
    from koubai.layers.operators import DivLayer, NegLayer, PowLayer, SubLayer
    from koubai.layers.reduction import Max, Mean, Min, Sum
    from koubai.layers.selection import Maximum, Minimum, Where
    from koubai.layers.shape import Reshape, Transpose

__all__ = [
    "Abs",
    "AddLayer",
    "Affine",
    "Cast",
    "DivLayer",
    "Exp",
    "IdentityWithLoss",
    "Layer",
    "Log",
    "LossLayer",
    "MatMul",
    "Max",
    "Maximum",
    "Mean",
    "Min",
    "Minimum",
    "MulLayer",
    "NegLayer",
    "PowLayer",
    "Relu",
    "Reshape",
    "Sigmoid",
    "SoftmaxWithLoss",
    "SubLayer",
    "Sum",
    "Tanh",
    "Transpose",
    "Where",
]

# What networks do without, and graphs are made of, is imported when it is first named.
_LATER = {
    "Abs": "elementary",
    "Cast": "elementary",
    "DivLayer": "operators",
    "Exp": "elementary",
    "Log": "elementary",
    "MatMul": "matmul",
    "Max": "reduction",
    "Maximum": "selection",
    "Mean": "reduction",
    "Min": "reduction",
    "Minimum": "selection",
    "NegLayer": "operators",
    "PowLayer": "operators",
    "Reshape": "shape",
    "SubLayer": "operators",
    "Sum": "reduction",
    "Transpose": "shape",
    "Where": "selection",
}

__getattr__ = later(__name__, _LATER)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
