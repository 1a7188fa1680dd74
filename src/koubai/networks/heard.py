"""The loss that a gradient was computed from."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from koubai.networks.network import Network
from koubai.typing import Array

__all__ = ["gradient_and_loss"]


def gradient_and_loss(network: Network, x: Array, t: Array) -> tuple[dict[str, Array], Array]:
    """
    Give the gradients of a batch, and the loss that they are the gradients of.

    Parameters
    ----------
    network : Network
        Its ``gradient`` goes through its ``loss``, which may add something to that of the last
        layer, as a penalty on the weights does.
    x, t : Array
        A batch and its labels.

    Returns
    -------
    grads : dict of str to Array
        As from ``network.gradient``.
    loss : Array, shape ()
        The loss; that of the last layer, where ``gradient`` did not ask ``loss``.
    """
    with _heard(network) as losses:
        grads = network.gradient(x, t)
    return grads, losses[-1] if losses else network.last_layer.loss


@contextmanager
def _heard(network: Network) -> Iterator[list[Array]]:
    losses: list[Array] = []
    network.loss = partial(_remembered, network.loss, losses)  # type: ignore[method-assign]
    try:
        yield losses
    finally:
        del network.loss  # which holds the network, and so would keep all arrays of the step


def _remembered(loss: Callable[..., Array], losses: list[Array], *args: Any, **named: Any) -> Array:
    losses.append(loss(*args, **named))
    return losses[-1]
