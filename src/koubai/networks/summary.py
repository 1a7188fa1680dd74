"""The table that tells of a network layer by layer."""

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from koubai.arrays import native_device, shared_namespace
from koubai.backend import asarray
from koubai.errors import ShapeError
from koubai.typing import Array, Shape

if TYPE_CHECKING:
    from koubai.networks.network import Network

__all__ = ["summarize"]


def summarize(network: "Network", input_shape: Shape | None = None) -> str:
    """
    Tell of a network; its layers run forward once on zeros.

    Parameters
    ----------
    network : Network
        The network.
    input_shape : tuple of int, optional
        The shape of one sample; by default what the first parameter W takes.

    Returns
    -------
    str
        A table: layer, output's shape, parameters, number of them.

    Raises
    ------
    ShapeError
        If no shape is given and none can be told from the parameters.
    """
    rows = [("layer", "output", "parameters", "count")]
    x = _blank_sample(network, input_shape)
    for name, layer in network.layers.items():
        x = layer.forward(x)
        own = {key: tuple(getattr(layer, key).shape) for key in getattr(layer, "parameters", ())}
        shapes = "  ".join(f"{key} {shape}" for key, shape in own.items())
        output = f"({', '.join(['N', *map(str, x.shape[1:])])})"
        rows.append((name, output, shapes, f"{sum(map(prod, own.values())):,}"))
    rows.append((type(network.last_layer).__name__, "()", "", "0"))
    rows.append(("total", "", f"{network.dtype} on {network.device}", f"{network.size:,}"))
    return _table(rows)


def _blank_sample(network: "Network", input_shape: Shape | None) -> Array:
    first = next(iter(network.params.values()), None)
    if input_shape is None and (first is None or first.ndim != 2):
        raise ShapeError(
            f"{type(network).__name__}.summary: the shape of a sample cannot be told from the "
            "parameters. Name it: network.summary(input_shape=(784,))."
        )
    if first is None:
        return asarray(np.zeros((1, *(input_shape or ())), np.float32))
    xp = shared_namespace("Network.summary", {"W": first})
    shape = (1, *(first.shape[:1] if input_shape is None else input_shape))
    return xp.zeros(shape, dtype=first.dtype, device=native_device(first))


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{name:<{widths[0]}}  {output:<{widths[1]}}  {own:<{widths[2]}}  {count:>{widths[3]}}"
        for name, output, own, count in rows
    )
