"""Where a loss went wrong: the first layer whose output is no finite number."""

import numpy as np

from koubai.backend import to_numpy
from koubai.networks import Network
from koubai.typing import Array

__all__ = ["first_bad_place", "is_finite"]


def is_finite(array: Array) -> bool:
    """Tell whether all elements are finite; reads them."""
    return bool(np.all(np.isfinite(np.asarray(to_numpy(array), dtype=np.float64))))


def first_bad_place(network: Network, x: Array, t: Array) -> str:
    """
    Say where NaN or infinity first shows when a batch goes through a network.

    Parameters
    ----------
    network : Network
        As it was before the step.
    x, t : Array
        The batch.

    Returns
    -------
    str
        Such as ``the output of Affine2``.
    """
    twin = network.copy()
    bad = [name for name, array in twin.params.items() if not is_finite(array)]
    if not is_finite(x):
        return "the batch itself (x is not finite)"
    if bad:
        return f"the parameter {bad[0]}"
    with np.errstate(all="ignore"):
        y = x
        for name, layer in twin.layers.items():
            y = layer.forward(y)
            if not is_finite(y):
                return f"the output of {name}"
        twin.last_layer.forward(y, t)
    return f"the loss, in {type(twin.last_layer).__name__}"
