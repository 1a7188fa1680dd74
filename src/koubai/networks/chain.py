"""The chain: layers that take one array forward and one backward, by the book's names."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeGuard

from koubai.errors import KoubaiError
from koubai.layers import AddLayer, Affine, Layer, LossLayer, MulLayer
from koubai.typing import Array

__all__ = ["ChainLayer", "backward_to_parameters", "chained", "forward", "from_first_learner"]


class ChainLayer(Protocol):
    """
    What a network asks of its layers: one array in, one array out, both ways.

    A layer that learns names its parameters in ``parameters``, as `Layer` tells.
    """

    def forward(self, x: Array, /) -> Array:
        """Give the output."""

    def backward(self, dout: Array, /) -> Array:
        """Give the gradient of the input."""


def chained(
    owner: str, layers: Iterable[ChainLayer] | Mapping[str, ChainLayer]
) -> dict[str, ChainLayer]:
    """
    Name layers as the book does, having seen that they can stand in a row.

    Parameters
    ----------
    owner : str
        Whom an error names.
    layers : iterable of layers, or a dict of them
        From the input to the scores.

    Returns
    -------
    dict of str to layer
        ``Affine1``, ``Relu1``, ``Affine2``, ... in their order.

    Raises
    ------
    KoubaiError
        If there are none, one stands twice, or one is no link of a chain.
    """
    links = list(layers.values() if isinstance(layers, Mapping) else layers)
    if not links:
        raise KoubaiError(f"{owner}: a network needs at least one layer.")
    if len({id(layer) for layer in links}) < len(links):
        raise KoubaiError(
            f"{owner}: a layer stands twice in it, but keeps one input and one gradient only. "
            "Make two layers; they may share their arrays."
        )
    named: dict[str, ChainLayer] = {}
    counts: Counter[str] = Counter()
    for layer in links:
        if not _is_link(layer):
            raise KoubaiError(
                f"{owner}: {layer!r} is no link of a chain, which takes one array forward and "
                "one backward. A loss goes into last_layer."
            )
        kind = type(layer).__name__
        counts[kind] += 1
        named[f"{kind}{counts[kind]}"] = layer
    return named


def forward(layer: ChainLayer, x: Array) -> Array:
    """Run a layer; where x is a `koubai.graph.Variable`, as a node of its graph."""
    if isinstance(layer, Layer) or not hasattr(type(x), "takes_over"):
        return layer.forward(x)
    return type(x).run(layer, x)  # type: ignore[attr-defined, no-any-return]


def from_first_learner(layers: Mapping[str, ChainLayer]) -> list[ChainLayer]:
    """Give the layers from the first that learns on; all, where none does."""
    links = list(layers.values())
    learners = (i for i, layer in enumerate(links) if getattr(layer, "parameters", ()))
    return links[next(learners, 0) :]


def backward_to_parameters(layer: ChainLayer, dout: Array) -> None:
    """Let a layer leave the gradients of its parameters, that of its input where it must."""
    if _has_short_way(layer):
        layer.backward_parameters(dout)
    else:
        layer.backward(dout)


def _is_link(layer: object) -> bool:
    two_ways = hasattr(layer, "forward") and hasattr(layer, "backward")
    return two_ways and not isinstance(layer, (LossLayer, AddLayer, MulLayer))


def _has_short_way(layer: ChainLayer) -> TypeGuard[Affine]:
    # Only where backward_parameters belongs to the very backward that the layer has.
    home = next((kind for kind in type(layer).__mro__ if "backward" in vars(kind)), object)
    return "backward_parameters" in vars(home)
