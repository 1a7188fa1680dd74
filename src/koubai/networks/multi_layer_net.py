"""MultiLayerNet: the network of the book's chapter 6."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import isfinite
from typing import ClassVar

import numpy as np

from koubai.backend import Device, get_default_device
from koubai.backend import device as select_device
from koubai.errors import KoubaiError
from koubai.initialization import initial_weights
from koubai.layers import Affine, Layer, Relu, Sigmoid, Tanh
from koubai.networks.chain import ChainLayer
from koubai.networks.network import Network
from koubai.typing import Array, Value

__all__ = ["MultiLayerNet"]


class SquaredNorm(Layer):
    """
    The penalty on large weights, rate sum(W^2) / 2.

    Parameters
    ----------
    rate : float
        How much it weighs.

    Examples
    --------
    >>> import numpy as np
    >>> penalty = SquaredNorm(0.5)
    >>> float(penalty.forward(np.asarray([[2.0, 4.0]])))
    5.0
    >>> penalty.backward(1.0)
    array([[1., 2.]])
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __repr__(self) -> str:
        return f"SquaredNorm({self.rate})"

    def forward(self, W: Array) -> Array:
        """
        Give the penalty.

        Parameters
        ----------
        W : Array
            Weights, of any shape.

        Returns
        -------
        Array, shape ()
            rate sum(W^2) / 2.
        """
        self.W = W
        return 0.5 * self.rate * self.namespace(W=W).sum(W * W)

    def backward(self, dout: Value = 1) -> Array:
        """
        Give the gradient of the weights.

        Parameters
        ----------
        dout : float or Array of shape ()
            The gradient that comes from behind.

        Returns
        -------
        Array, shape of W
            rate W dout.
        """
        if not isinstance(dout, (int, float)):
            xp = self.namespace(dout=dout, W=self.W)
            dout = xp.astype(xp.asarray(dout), self.W.dtype)
        return self.rate * self.W * dout


class MultiLayerNet(Network):
    """
    Affine layers with an activation after each but the last, and SoftmaxWithLoss (section 6.5).

    To the loss is added weight_decay_lambda sum(W^2) / 2 over all weights W1, W2, ...,
    and to their gradients weight_decay_lambda W (section 6.4.2).

    Parameters
    ----------
    input_size : int
        The number of inputs.
    hidden_size_list : sequence of int
        The number of units of each hidden layer, such as [100, 100, 100].
    output_size : int
        The number of classes.
    activation : str
        "relu", "sigmoid" or "tanh".
    weight_init_std : float or str
        How weights are drawn, as for `koubai.initialization.initial_weights`; biases
        begin at zero.
    weight_decay_lambda : float
        How much the squares of the weights weigh in the loss; it may be changed at any
        time.
    device : str or Device, optional
        Where the parameters are; by default the default device.
    dtype : str
        Their floating-point dtype.
    rng : int or numpy.random.Generator, optional
        The source of the weights. They are drawn on the host, in float64, so that the
        same seed gives the same weights on every backend; without one they differ each
        time.

    Raises
    ------
    KoubaiError
        If there is no such activation or initialization, or the decay is negative.

    Examples
    --------
    >>> import koubai
    >>> net = MultiLayerNet(784, [100, 50], 10, weight_decay_lambda=0.1, rng=0)
    >>> net
    MultiLayerNet(Affine(784, 100), Relu(), Affine(100, 50), Relu(), Affine(50, 10),
    SoftmaxWithLoss()): 84,060 parameters, float32 on numpy
    >>> list(net.params)
    ['W1', 'b1', 'W2', 'b2', 'W3', 'b3']
    """

    activations: ClassVar[Mapping[str, Callable[[], ChainLayer]]] = {
        "relu": Relu,
        "sigmoid": Sigmoid,
        "tanh": Tanh,
    }

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: float | str = "relu",
        weight_decay_lambda: float = 0,
        *,
        device: str | Device | None = None,
        dtype: str = "float32",
        rng: "int | np.random.Generator | None" = None,
    ) -> None:
        if activation not in self.activations:
            raise KoubaiError(
                f"MultiLayerNet: there is no activation {activation!r}, only "
                f"{', '.join(self.activations)}. koubai.Network(layers) takes any layers."
            )
        if not isfinite(weight_decay_lambda) or weight_decay_lambda < 0:
            raise KoubaiError(
                f"MultiLayerNet: weight_decay_lambda is {weight_decay_lambda!r}, but a finite "
                "number, at least 0, is wanted."
            )
        place = get_default_device() if device is None else select_device(device)
        source = np.random.default_rng(rng)
        sizes = [input_size, *hidden_size_list, output_size]
        layers: list[ChainLayer] = []
        for inputs, outputs in pairwise(sizes):
            W = initial_weights((inputs, outputs), weight_init_std, source)
            b = np.zeros(outputs)
            layers.append(Affine(*(place.asarray(each, dtype=dtype) for each in (W, b))))
            layers.append(self.activations[activation]())
        super().__init__(layers[:-1])
        self.weight_decay_lambda = weight_decay_lambda

    def loss(self, x: Array, t: Array) -> Array:
        """
        Give the loss of a batch, averaged over its samples, with the penalty on the weights.

        Parameters
        ----------
        x, t : Array
            A batch and its labels, as for `Network.loss`.

        Returns
        -------
        Array, shape ()
            The loss, on the device; ``last_layer.loss`` is without the penalty.
        """
        loss = super().loss(x, t)
        for affine, penalty in self._penalties():
            loss = loss + penalty.forward(_as_in(loss, affine))
        return loss

    def backward(self, dout: Value = 1) -> Array:
        """
        Run the layers backwards after ``loss``; their gradients appear in ``grads``.

        Parameters
        ----------
        dout : float or Array of shape ()
            The gradient that comes from behind the loss.

        Returns
        -------
        Array, shape of x
            The gradient of the input.
        """
        dx = super().backward(dout)
        self._add_penalties(dout)
        return dx

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """
        Give the gradients of the loss, with those of the penalty, by backpropagation.

        Parameters
        ----------
        x, t : Array
            A batch and its labels, as for `Network.loss`.

        Returns
        -------
        dict of str to Array
            For every parameter an array of its shape.
        """
        super().gradient(x, t)
        self._add_penalties(1)
        return dict(self.grads)

    def _add_penalties(self, dout: Value) -> None:
        for affine, penalty in self._penalties():
            penalty.W = affine.W
            affine.dW = affine.dW + penalty.backward(dout)

    def _penalties(self) -> Iterator[tuple[Affine, SquaredNorm]]:
        """Give a penalty for each layer with weights; none without decay."""
        if not self.weight_decay_lambda:
            return
        for layer in self.layers.values():
            if "W" in getattr(layer, "parameters", ()):
                yield layer, SquaredNorm(self.weight_decay_lambda)  # type: ignore[misc]


def _as_in(loss: Array, affine: Affine) -> Array:
    """Give W, as a Variable where the loss is one: a `koubai.graph.Variable` of the layer's."""
    kind = type(loss)
    if not hasattr(kind, "takes_over"):
        return affine.W
    return kind.of(affine.W, "W", affine)  # type: ignore[attr-defined, no-any-return]
