"""Network: layers in a row, and a layer that ends them in a loss."""

import copy
from collections.abc import Iterable, Mapping
from functools import partial
from math import prod
from typing import Self, TypeVar

from koubai.arrays import dtype_name, shared_namespace
from koubai.backend import Device, asarray, device, device_of
from koubai.errors import DTypeError, KoubaiError, ShapeError
from koubai.layers import LossLayer, SoftmaxWithLoss
from koubai.networks.chain import (
    ChainLayer,
    backward_to_parameters,
    chained,
    forward,
    from_first_learner,
)
from koubai.networks.door import check_labels, check_targets, watch_loss
from koubai.networks.parameters import GradientView, ParameterView, locate, locate_state
from koubai.networks.saved import Saved
from koubai.networks.summary import summarize
from koubai.numerical import numerical_gradient
from koubai.typing import Array, Shape, Value

__all__ = ["Network"]


class Network(Saved):
    """
    Layers in a row, ended by a layer that gives a loss.

    Parameters
    ----------
    layers : iterable of layers, or a dict of them
        From the input to the scores. They are used as they are, not copied.
    last_layer : LossLayer, optional
        What makes the loss of the scores; by default ``SoftmaxWithLoss()``.

    Raises
    ------
    KoubaiError
        If there are no layers, one stands twice, or one is no link of a chain.

    Attributes
    ----------
    layers : dict of str to layer
        The layers by the book's names: ``Affine1``, ``Relu1``, ``Affine2``, ...
    last_layer : LossLayer
        The layer that ends the network; ``lastLayer`` as well.

    Examples
    --------
    >>> import numpy as np
    >>> import koubai
    >>> rng = np.random.default_rng(0)
    >>> net = koubai.Network([
    ...     koubai.Affine(0.1 * rng.standard_normal((4, 3)), np.zeros(3)),
    ...     koubai.Relu(),
    ...     koubai.Affine(0.1 * rng.standard_normal((3, 2)), np.zeros(2)),
    ... ])
    >>> list(net.params)
    ['W1', 'b1', 'W2', 'b2']
    >>> x, t = rng.standard_normal((5, 4)), np.asarray([0, 1, 1, 0, 1])
    >>> grads = net.gradient(x, t)
    >>> for key in net.params:
    ...     net.params[key] -= 0.1 * grads[key]
    """

    def __init__(
        self,
        layers: Iterable[ChainLayer] | Mapping[str, ChainLayer],
        last_layer: LossLayer | None = None,
    ) -> None:
        self.layers = chained(type(self).__name__, layers)
        self.last_layer = SoftmaxWithLoss() if last_layer is None else last_layer

    def __repr__(self) -> str:
        layers = ", ".join(repr(layer) for layer in (*self.layers.values(), self.last_layer))
        size = f"{self.size:,} parameters"
        return f"{type(self).__name__}({layers}): {size}, {self.dtype} on {self.device}"

    @property
    def lastLayer(self) -> LossLayer:  # noqa: N802  (the book's name)
        """The last layer, by the name of the book's first edition."""
        return self.last_layer

    @lastLayer.setter
    def lastLayer(self, layer: LossLayer) -> None:  # noqa: N802
        self.last_layer = layer

    @property
    def params(self) -> ParameterView:
        """The parameters by name, live: to assign to one takes effect."""
        return ParameterView(self.layers)

    @property
    def grads(self) -> GradientView:
        """The gradients by name, as the last ``backward`` left them in the layers."""
        return GradientView(self.layers)

    @property
    def size(self) -> int:
        """The number of parameters, every element counted."""
        return sum(prod(array.shape) for array in self.params.values())

    @property
    def device(self) -> Device | None:
        """The device of the parameters; None where there are none."""
        return next(map(device_of, self.params.values()), None)

    @property
    def dtype(self) -> str | None:
        """The name of the parameters' dtype; None where there are none."""
        return next((dtype_name(array) for array in self.params.values()), None)

    def predict(self, x: Array) -> Array:
        """
        Give the scores, without the last layer.

        Parameters
        ----------
        x : Array, shape (N, ...) or that of one sample
            A batch, on the device of the parameters.

        Returns
        -------
        Array, shape (N, C) or (C,)
            The scores.

        Raises
        ------
        MixedArraysError, ShapeError, DTypeError
            If x does not go with the parameters.
        """
        for layer in self.layers.values():
            x = forward(layer, x)
        return x

    def loss(self, x: Array, t: Array) -> Array:
        """
        Give the loss of a batch, averaged over its samples.

        Parameters
        ----------
        x : Array, shape (N, ...) or that of one sample
            A batch, on the device of the parameters.
        t : Array
            Labels or targets, as the last layer takes them.

        Returns
        -------
        Array, shape ()
            The loss, on the device.

        Raises
        ------
        LabelError
            If a label is out of range or no number. To know, the host reads the loss
            (the layer makes it NaN then) and so waits for the device; the layers
            themselves never do.
        MixedArraysError, ShapeError, DTypeError
            If x and t do not go with the parameters or with each other.
        """
        y = self.predict(x)
        loss = self.last_layer.forward(y, t)
        watch_loss(loss, t, partial(self._check_targets, shape=y.shape))
        return loss

    def backward(self, dout: Value = 1) -> Array:
        """
        Run the layers backwards after ``loss``; their gradients appear in ``grads``.

        Nothing may run in between: ``predict`` and ``accuracy`` go through the same layers,
        which then hold another batch.

        Parameters
        ----------
        dout : float or Array of shape ()
            The gradient that comes from behind the loss.

        Returns
        -------
        Array, shape of x
            The gradient of the input.
        """
        gradient = self.last_layer.backward(dout)
        for layer in reversed(self.layers.values()):
            gradient = layer.backward(gradient)
        return gradient

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """
        Give the gradients of the loss by backpropagation.

        Parameters
        ----------
        x, t : Array
            A batch and its labels, as for `loss`. The loss itself is left in
            ``last_layer.loss``.

        Returns
        -------
        dict of str to Array
            For every parameter an array of its shape.
        """
        self.loss(x, t)
        dout = self.last_layer.backward()
        # In front of the first layer that learns, nobody asks for a gradient.
        first, *behind = from_first_learner(self.layers)
        for layer in reversed(behind):
            dout = layer.backward(dout)
        backward_to_parameters(first, dout)
        return dict(self.grads)

    def numerical_gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """
        Give the gradients of the loss by central differences, in float64.

        Two losses for every single parameter: for small networks and for teaching.
        `koubai.check_gradients` proves a large one in a moment.

        Parameters
        ----------
        x, t : Array
            A batch and its labels, as for `loss`.

        Returns
        -------
        dict of str to Array
            For every parameter a float64 array of its shape, whatever the dtype of the
            network; the network itself is not touched.

        Raises
        ------
        DTypeError
            If the device has no float64.
        """
        place = self._require_device("numerical_gradient")
        with place.backend.float64():
            twin = self.copy().astype("float64")
            exact = place.asarray(x, dtype="float64")
            classifies = getattr(self.last_layer, "classifies", False)
            target = t if classifies else place.asarray(t, dtype="float64")
            return {
                key: numerical_gradient(partial(_loss_at, twin, exact, target, key), array)
                for key, array in twin.params.items()
            }

    def accuracy(self, x: Array, t: Array, batch_size: int = 1000) -> float:
        """
        Give the part of the samples whose highest score is that of their label.

        Parameters
        ----------
        x : Array, shape (N, ...) or that of one sample
            Samples, on the device of the parameters.
        t : Array, class indices of shape (N,) or rows of shape (N, C)
            Labels.
        batch_size : int
            How many samples are on their way at once.

        Returns
        -------
        float
            From 0 to 1.

        Raises
        ------
        ShapeError
            If there are no samples, or not as many labels.
        LabelError
            If a label is out of range or no number.
        KoubaiError
            If the last layer does not classify.
        """
        owner = type(self).__name__
        shared_namespace(f"{owner}.accuracy", {"t": t, "x": x})
        if batch_size < 1:
            raise KoubaiError(f"{owner}.accuracy: batch_size is {batch_size}, but at least 1.")
        if not getattr(self.last_layer, "classifies", False):
            raise KoubaiError(
                f"{owner}.accuracy: {self.last_layer!r} ends a regression, which has no accuracy. "
                "Look at the loss instead."
            )
        if x.ndim == 1:
            return float(self._hits(x, t))
        n = x.shape[0]
        if n == 0 or t.shape[:1] != (n,):
            raise ShapeError(
                f"{owner}.accuracy: x has the shape {tuple(x.shape)} and t {tuple(t.shape)}; the "
                "same number of samples is wanted, and at least one."
            )
        starts = range(0, n, batch_size)
        parts = (slice(start, min(start + batch_size, n)) for start in starts)
        return sum(self._hits(x[part, ...], t[part, ...]) for part in parts) / n

    def to(self, device: str | Device) -> Self:
        """
        Move the parameters to a device.

        Parameters
        ----------
        device
            A device as in `koubai.device`.

        Returns
        -------
        Network
            The network itself. Gradients of the old device are gone.
        """
        place = _select(device)
        return _put(self, {key: place.asarray(array) for key, array in _kept(self).items()})

    def astype(self, dtype: str) -> Self:
        """
        Change the dtype of the parameters.

        Parameters
        ----------
        dtype
            The name of a floating-point dtype.

        Returns
        -------
        Network
            The network itself. Gradients of the old dtype are gone.

        Raises
        ------
        DTypeError
            If the device does not have the dtype.
        """
        place = self._require_device("astype")
        if not str(dtype).startswith("float"):
            raise DTypeError(
                f"{type(self).__name__}.astype: {dtype!r} is no floating-point dtype; parameters "
                'are learned in one, such as "float32".'
            )
        return _put(
            self, {key: place.asarray(array, dtype=dtype) for key, array in _kept(self).items()}
        )

    def copy(self) -> Self:
        """
        Make an independent network with the same parameters.

        Returns
        -------
        Network
            Of the same class, with layers and arrays of its own.
        """
        twin = copy.copy(self)
        twin.layers = {name: copy.copy(layer) for name, layer in self.layers.items()}
        twin.last_layer = copy.copy(self.last_layer)
        arrays = _kept(self)
        return _put(
            twin,
            {key: asarray(arrays[key], device=device_of(arrays[key]), copy=True) for key in arrays},
        )

    def summary(self, input_shape: Shape | None = None) -> str:
        """
        Tell of every layer: its output's shape, its parameters, and how many they are.

        Parameters
        ----------
        input_shape : tuple of int, optional
            The shape of one sample; by default what the first parameter W takes.

        Returns
        -------
        str
            A table to print.

        Raises
        ------
        ShapeError
            If no shape is given and none can be told from the parameters.
        """
        return summarize(self.copy(), input_shape)

    def _check_targets(self, t: Array, shape: Shape) -> None:
        owner = type(self.last_layer).__name__
        if getattr(self.last_layer, "classifies", False):
            check_labels(owner, t, shape)
        else:
            check_targets(owner, t)

    def _hits(self, x: Array, t: Array) -> int:
        y = self.predict(x)
        self._check_targets(t, y.shape)
        xp = shared_namespace(type(self.last_layer).__name__, {"t": t, "y": y})
        best = xp.argmax(y, axis=-1)
        label = xp.argmax(t, axis=-1) if t.shape == y.shape else t
        hit = best[..., None] == xp.astype(label[..., None], best.dtype)
        return int(xp.sum(xp.astype(hit, xp.float32)))

    def _require_device(self, method: str) -> Device:
        if self.device is None:
            raise KoubaiError(f"{type(self).__name__}.{method}: the network has no parameters.")
        return self.device


_N = TypeVar("_N", bound=Network)
_select = device  # `to` has a parameter of that name, and the class a property


def _places(network: Network) -> dict[str, tuple[ChainLayer, str]]:
    return locate(network.layers) | locate_state(network.layers)


def _kept(network: Network) -> dict[str, Array]:
    """Give the arrays that make a network what it is: its parameters and its layers' state."""
    found = {key: getattr(layer, name) for key, (layer, name) in _places(network).items()}
    return {key: value for key, value in found.items() if hasattr(value, "dtype")}


def _put(network: _N, arrays: dict[str, Array]) -> _N:
    for key, (layer, name) in _places(network).items():
        if key not in arrays:
            continue
        setattr(layer, name, arrays[key])
        vars(layer).pop(f"d{name}", None)
    return network


def _loss_at(network: Network, x: Array, t: Array, key: str, value: Array) -> Array:
    kept = network.params[key]
    network.params[key] = value
    try:
        return network.loss(x, t)
    finally:
        network.params[key] = kept
