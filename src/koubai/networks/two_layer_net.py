"""TwoLayerNet: the network of the book's chapters 4 and 5."""

import numpy as np

from koubai.backend import Device, get_default_device
from koubai.backend import device as select_device
from koubai.initialization import initial_weights
from koubai.layers import Affine, Relu
from koubai.networks.network import Network

__all__ = ["TwoLayerNet"]


class TwoLayerNet(Network):
    """
    Affine, Relu, Affine and SoftmaxWithLoss (the book, section 5.7.2).

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        The numbers of inputs, of hidden units and of classes.
    weight_init_std : float or str
        The standard deviation of the normal distribution from which weights are drawn, or
        a way to draw them such as "relu", as for `koubai.initialization.initial_weights`;
        biases begin at zero.
    device : str or Device, optional
        Where the parameters are; by default the default device.
    dtype : str
        Their floating-point dtype.
    rng : int or numpy.random.Generator, optional
        The source of the weights. They are drawn on the host, in float64, so that the
        same seed gives the same weights on every backend; without one they differ each
        time.

    Examples
    --------
    >>> import koubai
    >>> net = koubai.TwoLayerNet(784, 50, 10, rng=0)
    >>> net
    TwoLayerNet(Affine(784, 50), Relu(), Affine(50, 10), SoftmaxWithLoss()):
    39,760 parameters, float32 on numpy
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float | str = 0.01,
        *,
        device: str | Device | None = None,
        dtype: str = "float32",
        rng: "int | np.random.Generator | None" = None,
    ) -> None:
        place = get_default_device() if device is None else select_device(device)
        source = np.random.default_rng(rng)

        def affine(inputs: int, outputs: int) -> Affine:
            weights = initial_weights((inputs, outputs), weight_init_std, source)
            return Affine(
                place.asarray(weights, dtype=dtype),
                place.asarray(np.zeros(outputs), dtype=dtype),
            )

        super().__init__(
            [affine(input_size, hidden_size), Relu(), affine(hidden_size, output_size)]
        )
