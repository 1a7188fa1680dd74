"""The cases on which every layer is proved, on every backend: plain ones and treacherous ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from koubai.backend import Device
from koubai.layers import (
    Abs,
    AddLayer,
    Affine,
    DivLayer,
    Exp,
    IdentityWithLoss,
    Layer,
    Log,
    MatMul,
    Max,
    Maximum,
    Mean,
    Min,
    Minimum,
    MulLayer,
    NegLayer,
    PowLayer,
    Relu,
    Reshape,
    Sigmoid,
    SoftmaxWithLoss,
    SubLayer,
    Sum,
    Tanh,
    Transpose,
    Where,
)
from koubai.networks import Network, TwoLayerNet
from koubai.networks.chain import ChainLayer
from koubai.networks.parameters import locate

__all__ = ["CASES", "Case"]

Build = Callable[[Callable[[Any], Any]], tuple[Layer | Network, tuple[object, ...]]]


@dataclass(frozen=True)
class Case:
    """
    A layer or network, and a point at which its gradients are proved.

    Attributes
    ----------
    name : str
        What the case is called: the layer, and what is special about it.
    build : callable
        Is given a function that makes an array of host values, and gives the layer and
        its inputs.
    """

    name: str
    build: Build

    def make(self, place: Device, dtype: str) -> tuple[Layer | Network, tuple[object, ...]]:
        """
        Build the case on a device.

        Parameters
        ----------
        place : Device
            Where its arrays are made.
        dtype : str
            The dtype of those that are floating point.

        Returns
        -------
        target, inputs
            What `koubai.check_gradients` takes.
        """

        def array(values: npt.ArrayLike) -> object:
            host = np.asarray(values)
            return place.asarray(host, dtype=dtype if host.dtype.kind == "f" else None)

        return self.build(array)


def _normal(*shape: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """Draw values that are nowhere within 0.05 of zero, where relu has its kink."""
    values = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return values + np.copysign(0.05, values)


def _positive(*shape: int) -> npt.NDArray[np.float64]:
    return np.abs(_normal(*shape)) + 0.5


# Of one shape where they can be, because JAX compiles every operation anew for each.
_ROWS = np.eye(4)[[1, 3, 0, 2, 1]]
_LABELS = np.asarray([1, 3, 0, 2, 1])
_FAR = np.resize([-1000.0, -30.0, -0.5, 0.5, 30.0, 1000.0], (5, 4))

CASES: tuple[Case, ...] = (
    Case("MulLayer", lambda a: (MulLayer(), (a(_normal(5, 4)), a(_normal(5, 4, seed=1))))),
    Case("MulLayer-broadcast", lambda a: (MulLayer(), (a(_normal(5, 4)), a(_normal(1, 4))))),
    Case("MulLayer-numbers", lambda a: (MulLayer(), (100.0, 2.0))),
    Case("AddLayer", lambda a: (AddLayer(), (a(_normal(5, 4)), a(_normal(5, 4, seed=1))))),
    Case("AddLayer-broadcast", lambda a: (AddLayer(), (a(_normal(5, 4)), a(_normal(4))))),
    Case("SubLayer", lambda a: (SubLayer(), (a(_normal(5, 4)), a(_normal(4))))),
    Case("SubLayer-numbers", lambda a: (SubLayer(), (100.0, 2.0))),
    Case("DivLayer", lambda a: (DivLayer(), (a(_normal(5, 4)), a(_normal(1, 4))))),
    Case("DivLayer-numbers", lambda a: (DivLayer(), (100.0, 2.0))),
    Case("NegLayer", lambda a: (NegLayer(), (a(_normal(5, 4)),))),
    Case("PowLayer", lambda a: (PowLayer(), (a(_positive(5, 4)), a(_normal(4))))),
    Case("PowLayer-number", lambda a: (PowLayer(), (a(_positive(5, 4)), 3.0))),
    Case("MatMul", lambda a: (MatMul(), (a(_normal(5, 4)), a(_normal(4, 6))))),
    Case("MatMul-vector", lambda a: (MatMul(), (a(_normal(4)), a(_normal(4, 6))))),
    Case("MatMul-batch", lambda a: (MatMul(), (a(_normal(2, 5, 4)), a(_normal(4))))),
    Case("Exp", lambda a: (Exp(), (a(_normal(5, 4)),))),
    Case("Log", lambda a: (Log(), (a(_positive(5, 4)),))),
    Case("Abs", lambda a: (Abs(), (a(_normal(5, 4)),))),
    Case("Maximum", lambda a: (Maximum(), (a(_normal(5, 4)), a(_normal(4, seed=1))))),
    Case("Maximum-number", lambda a: (Maximum(), (a(_normal(5, 4)), 0.01))),
    Case("Minimum", lambda a: (Minimum(), (a(_normal(5, 4)), a(_normal(4, seed=1))))),
    Case("Where", lambda a: (Where(), (a(_ROWS > 0), a(_normal(5, 4)), a(_normal(4))))),
    Case("Sum", lambda a: (Sum(), (a(_normal(5, 4)),))),
    Case("Sum-axis", lambda a: (Sum(axis=0), (a(_normal(5, 4)),))),
    Case("Mean", lambda a: (Mean(axis=-1, keepdims=True), (a(_normal(5, 4)),))),
    Case("Max", lambda a: (Max(), (a(_normal(5, 4)),))),
    Case("Max-axis", lambda a: (Max(axis=1, keepdims=True), (a(_normal(5, 4)),))),
    Case("Min", lambda a: (Min(axis=(0, 1)), (a(_normal(5, 4)),))),
    Case("Reshape", lambda a: (Reshape((2, -1)), (a(_normal(5, 4)),))),
    Case("Transpose", lambda a: (Transpose((2, 0, 1)), (a(_normal(2, 5, 4)),))),
    Case("Relu", lambda a: (Relu(), (a(_normal(5, 4)),))),
    Case("Sigmoid", lambda a: (Sigmoid(), (a(_normal(5, 4)),))),
    Case("Sigmoid-far", lambda a: (Sigmoid(), (a(_FAR),))),
    Case("Tanh", lambda a: (Tanh(), (a(_normal(5, 4)),))),
    Case("Tanh-far", lambda a: (Tanh(), (a(_FAR),))),
    Case("Affine", lambda a: (_affine(a), (a(_normal(5, 6)),))),
    Case("Affine-sample", lambda a: (_affine(a), (a(_normal(6)),))),
    Case("Affine-images", lambda a: (_affine(a), (a(_normal(5, 1, 2, 3)),))),
    Case("SoftmaxWithLoss", lambda a: (SoftmaxWithLoss(), (a(_normal(5, 4)), a(_LABELS)))),
    Case("SoftmaxWithLoss-rows", lambda a: (SoftmaxWithLoss(), (a(_normal(5, 4)), a(_ROWS)))),
    Case("SoftmaxWithLoss-sample", lambda a: (SoftmaxWithLoss(), (a(_normal(4)), a(_ROWS[0])))),
    Case(
        "SoftmaxWithLoss-one-class",
        lambda a: (SoftmaxWithLoss(), (a(_normal(5, 1)), a(np.zeros(5, np.int64)))),
    ),
    Case(
        "SoftmaxWithLoss-far",
        lambda a: (SoftmaxWithLoss(), (a(-300.0 * _ROWS), a(_LABELS))),
    ),
    Case(
        "IdentityWithLoss",
        lambda a: (IdentityWithLoss(), (a(_normal(5, 4)), a(_normal(5, 4, seed=1)))),
    ),
    Case(
        "IdentityWithLoss-sample",
        lambda a: (IdentityWithLoss(), (a(_normal(4)), a(_normal(4, seed=1)))),
    ),
    Case("TwoLayerNet", lambda a: _two_layer_net(a)),
    Case("Network-deep", lambda a: _deep(a)),
)


def _affine(array: Callable[[Any], Any], inputs: int = 6, outputs: int = 4) -> Affine:
    return Affine(array(_normal(inputs, outputs)), array(_normal(outputs)))


def _two_layer_net(array: Callable[[Any], Any]) -> tuple[Network, tuple[object, ...]]:
    network = TwoLayerNet(6, 5, 4, weight_init_std=1.0, device="cpu", rng=0)
    for layer, name in locate(network.layers).values():
        setattr(layer, name, array(getattr(layer, name)))
    return network, (array(_normal(5, 6)), array(_LABELS))


def _deep(array: Callable[[Any], Any]) -> tuple[Network, tuple[object, ...]]:
    layers: list[ChainLayer] = [
        _affine(array, 6, 5),
        Sigmoid(),
        _affine(array, 5, 4),
        Tanh(),
        _affine(array, 4, 4),
    ]
    return Network(layers, IdentityWithLoss()), (array(_normal(5, 6)), array(_normal(5, 4)))
