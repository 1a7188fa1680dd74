"""Live views of the parameters and gradients of a network, by the book's names."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from koubai.arrays import dtype_name, shared_namespace
from koubai.errors import DTypeError, ShapeError
from koubai.networks.chain import ChainLayer
from koubai.typing import Array

__all__ = ["GradientView", "ParameterView", "locate", "locate_state"]


def locate(layers: Mapping[str, ChainLayer]) -> dict[str, tuple[ChainLayer, str]]:
    """
    Find the parameters of layers: ``W1`` is the W of the first layer that learns.

    Parameters
    ----------
    layers : mapping of str to layer
        Layers in their order.

    Returns
    -------
    dict of str to (layer, str)
        For every parameter the layer that owns it and the name of the attribute.
    """
    found = {}
    number = 0
    for layer in layers.values():
        names = getattr(layer, "parameters", ())
        number += bool(names)
        for name in names:
            found[f"{name}{number}"] = (layer, name)
    return found


def locate_state(layers: Mapping[str, ChainLayer]) -> dict[str, tuple[ChainLayer, str]]:
    """
    Find the arrays that layers change by themselves, as they name them in ``state``.

    Parameters
    ----------
    layers : mapping of str to layer
        Layers in their order.

    Returns
    -------
    dict of str to (layer, str)
        For ``BatchNorm1.running_mean`` the layer and the name of the attribute.
    """
    return {
        f"{label}.{name}": (layer, name)
        for label, layer in layers.items()
        for name in getattr(type(layer), "state", ())
    }


class GradientView(Mapping[str, Array]):
    """
    The gradients of a network as its layers hold them after ``backward``.

    Parameters
    ----------
    layers : mapping of str to layer
        The layers of the network.
    """

    prefix: ClassVar[str] = "d"

    def __init__(self, layers: Mapping[str, ChainLayer]) -> None:
        self._places = locate(layers)

    def __getitem__(self, key: str) -> Array:
        layer, name = self._places[key]
        array: Array = getattr(layer, self.prefix + name)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self)})"


class ParameterView(GradientView):
    """
    The parameters of a network; to assign to one changes the layer that owns it.

    ``params["W1"] -= lr * grads["W1"]`` trains in place where arrays can be written,
    and puts a new array in the layer where they cannot.

    Parameters
    ----------
    layers : mapping of str to layer
        The layers of the network.
    """

    prefix: ClassVar[str] = ""

    def __setitem__(self, key: str, value: Array) -> None:
        layer, name = self._places[key]
        old = getattr(layer, name)
        if value is old:
            return
        shared_namespace(f'params["{key}"]', {"the array assigned": value, "the old one": old})
        wanted = old.shape
        if value.dtype != old.dtype:
            raise DTypeError(
                f'params["{key}"] is {dtype_name(old)}; what was assigned to it is '
                f'{dtype_name(value)}. koubai.asarray(..., dtype="{dtype_name(old)}") makes it '
                "fit, or network.astype(...) changes the whole network."
            )
        if value.shape != wanted:
            raise ShapeError(
                f'params["{key}"] is of shape {tuple(wanted)}; what was assigned to it is of shape '
                f"{tuple(getattr(value, 'shape', ()))}."
            )
        setattr(layer, name, value)
