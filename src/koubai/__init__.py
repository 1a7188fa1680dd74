"""Layers with an explicit forward and backward, on any array library, proved right."""

import importlib
from typing import TYPE_CHECKING, Any

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
from koubai.errors import (
    BackendError,
    BackendNotInstalledError,
    CompileError,
    DatasetError,
    DeviceNotAvailableError,
    DeviceSpecError,
    DTypeError,
    GradientError,
    KoubaiError,
    LabelError,
    MixedArraysError,
    NotAnArrayError,
    NotForwardedError,
    ShapeError,
    UnknownBackendError,
)
from koubai.functions import (
    cross_entropy_error,
    identity_function,
    log_softmax,
    mean_squared_error,
    one_hot,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    softmax_loss,
    step_function,
    sum_squared_error,
    sum_to_shape,
)
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
from koubai.networks import GradientView, Network, ParameterView, TwoLayerNet
from koubai.numerical import numerical_gradient
from koubai.optimizers import SGD, Momentum

if TYPE_CHECKING:
    from koubai.compile import CompiledFunction, CompiledStep, compile_step
    from koubai.compile import compile_function as compile  # noqa: A004
    from koubai.datasets import load_mnist
    from koubai.gradcheck import GradientReport, GradientRow, check_gradients
    from koubai.testing import Cell, cells

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "AddLayer",
    "Affine",
    "Backend",
    "BackendError",
    "BackendNotInstalledError",
    "Cell",
    "CompileError",
    "CompiledFunction",
    "CompiledStep",
    "DTypeError",
    "DatasetError",
    "Device",
    "DeviceNotAvailableError",
    "DeviceSpecError",
    "GradientError",
    "GradientReport",
    "GradientRow",
    "GradientView",
    "IdentityWithLoss",
    "KoubaiError",
    "LabelError",
    "Layer",
    "LossLayer",
    "MixedArraysError",
    "Momentum",
    "MulLayer",
    "Network",
    "NotAnArrayError",
    "NotForwardedError",
    "ParameterView",
    "Relu",
    "ShapeError",
    "Sigmoid",
    "SoftmaxWithLoss",
    "Tanh",
    "TwoLayerNet",
    "UnknownBackendError",
    "array_namespace",
    "asarray",
    "cells",
    "check_gradients",
    "compile",
    "compile_step",
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
    "one_hot",
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
    "sum_to_shape",
    "to_numpy",
]

# What only proofs, tests and examples need is imported when it is first named.
_LATER = {
    "Cell": "testing",
    "CompiledFunction": "compile",
    "CompiledStep": "compile",
    "GradientReport": "gradcheck",
    "GradientRow": "gradcheck",
    "cells": "testing",
    "check_gradients": "gradcheck",
    "compile_step": "compile",
    "load_mnist": "datasets",
}


def __getattr__(name: str) -> Any:
    if name in _LATER.values():
        return importlib.import_module(f"koubai.{name}")
    if name in _LATER:
        return getattr(importlib.import_module(f"koubai.{_LATER[name]}"), name)
    raise AttributeError(f"module 'koubai' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_LATER.values()})
