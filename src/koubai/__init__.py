"""Layers with an explicit forward and backward, on any array library, proved right."""

from koubai.arrays import array_namespace
from koubai.backend import (
    Backend,
    Device,
    asarray,
    device,
    devices,
    get_backend,
    get_default_device,
    register_backend,
    set_default_device,
    to_numpy,
)
from koubai.datasets import load_mnist
from koubai.functions import (
    cross_entropy_error,
    identity_function,
    log_softmax,
    mean_squared_error,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    softmax_loss,
    step_function,
    sum_squared_error,
)
from koubai.gradcheck import GradientReport, check_gradients, numerical_gradient
from koubai.layers import (
    AddLayer,
    Affine,
    IdentityWithLoss,
    Layer,
    LossLayer,
    MulLayer,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    Tanh,
)
from koubai.networks import Network, TwoLayerNet

__version__ = "0.1.0"

__all__ = [
    "AddLayer",
    "Affine",
    "Backend",
    "Device",
    "GradientReport",
    "IdentityWithLoss",
    "Layer",
    "LossLayer",
    "MulLayer",
    "Network",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "Tanh",
    "TwoLayerNet",
    "array_namespace",
    "asarray",
    "check_gradients",
    "cross_entropy_error",
    "device",
    "devices",
    "get_backend",
    "get_default_device",
    "identity_function",
    "load_mnist",
    "log_softmax",
    "mean_squared_error",
    "numerical_gradient",
    "register_backend",
    "relu",
    "relu_grad",
    "set_default_device",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_loss",
    "step_function",
    "sum_squared_error",
    "to_numpy",
]
