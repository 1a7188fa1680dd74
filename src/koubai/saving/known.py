"""The classes that a file may name: koubai's own, and those that were registered.

Nothing is imported for a file, whatever it names.
"""

import inspect
from typing import TypeVar

from koubai import layers as own_layers
from koubai import networks as own_networks
from koubai.errors import ArchitectureError
from koubai.networks import Network

__all__ = ["LAYERS", "NETWORKS", "find", "name_of", "register_layer", "register_network"]

_C = TypeVar("_C", bound=type)
_Known = dict[str, type]

LAYERS: _Known = {
    name: kind
    for name, kind in ((name, getattr(own_layers, name)) for name in own_layers.__all__)
    if not inspect.isabstract(kind)
}
NETWORKS: _Known = {
    name: kind
    for name, kind in ((name, getattr(own_networks, name)) for name in own_networks.__all__)
    if issubclass(kind, Network)
}
_OWN = frozenset(LAYERS) | frozenset(NETWORKS)


def register_layer(kind: _C) -> _C:
    """
    Let files name a layer of your own; usable as a decorator.

    What its ``__init__`` takes is read from attributes of the same names: parameters and
    state are saved as arrays, all else must be plain (numbers, strings, tuples, ...). A
    layer that keeps it otherwise has a method ``settings()`` that gives the plain
    arguments as a dict.

    Parameters
    ----------
    kind : type
        A class with ``forward`` and ``backward``. One that was registered before under
        the same name gives way, so that a notebook cell can be run again.

    Returns
    -------
    type
        The class itself.

    Raises
    ------
    ArchitectureError
        If it is no such class, or has the name of one of koubai's.

    Examples
    --------
    >>> import koubai
    >>> from koubai.saving import register_layer
    >>> @register_layer
    ... class Scale(koubai.Layer):
    ...     def __init__(self, factor):
    ...         self.factor = factor
    ...
    ...     def forward(self, x):
    ...         return x * self.factor
    ...
    ...     def backward(self, dout):
    ...         return dout * self.factor
    """
    if not (inspect.isclass(kind) and hasattr(kind, "forward") and hasattr(kind, "backward")):
        raise ArchitectureError(
            f"register_layer: {kind!r} is no class with forward and backward. Give the class "
            "itself: register_layer(MyLayer)."
        )
    return _register("register_layer", LAYERS, kind)


def register_network(kind: _C) -> _C:
    """
    Let files name a network class of your own; usable as a decorator.

    It is built again without its ``__init__``: layers, last layer and its public
    attributes, which must be plain, are put back as they were.

    Parameters
    ----------
    kind : type
        A subclass of `koubai.Network`.

    Returns
    -------
    type
        The class itself.

    Raises
    ------
    ArchitectureError
        If it is no such class, or has the name of one of koubai's.
    """
    if not (inspect.isclass(kind) and issubclass(kind, Network)):
        raise ArchitectureError(f"register_network: {kind!r} is no subclass of koubai.Network.")
    return _register("register_network", NETWORKS, kind)


def _register(owner: str, known: _Known, kind: _C) -> _C:
    if kind.__name__ in _OWN and known.get(kind.__name__) is not kind:
        raise ArchitectureError(
            f"{owner}: {kind.__name__} is the name of a class of koubai's own, and a file tells "
            "classes apart by their names. Rename yours."
        )
    known[kind.__name__] = kind
    return kind


def name_of(known: _Known, kind: type, register: str) -> str:
    """Give the name of a class, having seen that a file with it would not mean another."""
    found = known.get(kind.__name__, kind)
    if found is not kind:
        owner = "koubai's own" if kind.__name__ in _OWN else "registered"
        remedy = (
            "Rename your class"
            if kind.__name__ in _OWN
            else f"koubai.saving.{register}({kind.__name__}) makes it mean this one"
        )
        raise ArchitectureError(
            f"save: {kind.__module__}.{kind.__qualname__} has the name of another class that is "
            f"{owner}, and a file tells classes apart by their names. {remedy}."
        )
    return kind.__name__


def find(where: str, known: _Known, name: str, register: str) -> type:
    """Give the class of a name, or tell how to make it known."""
    if name not in known:
        raise ArchitectureError(
            f"{where} needs the class {name!r}, which is not known here; known are "
            f"{', '.join(sorted(known))}. Nothing is imported for a file: import the class, and "
            f"before loading write\n  koubai.saving.{register}({name})"
        )
    return known[name]
