"""The layers: each a ``forward`` and a ``backward``, written once for every array library."""

from koubai.layers.activation import Relu, Sigmoid, Tanh
from koubai.layers.affine import Affine
from koubai.layers.arithmetic import AddLayer, MulLayer
from koubai.layers.base import Layer
from koubai.layers.loss import IdentityWithLoss, LossLayer, SoftmaxWithLoss

__all__ = [
    "AddLayer",
    "Affine",
    "IdentityWithLoss",
    "Layer",
    "LossLayer",
    "MulLayer",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "Tanh",
]
