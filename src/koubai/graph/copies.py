"""Copies of layers: a node keeps one, because the layer itself runs on."""

import copy
from collections.abc import Iterable
from functools import cache
from typing import Any, TypeAlias

import numpy as np

__all__ = ["drop_arrays", "parameters_of", "put", "twins_of"]

_Twins: TypeAlias = dict[int, tuple[Any, Any]]
_PLAIN = frozenset({bool, int, float, str, tuple, type(None)})
_NO_LAYERS = frozenset({bool, int, float, str, type(None), np.ndarray, np.float32, np.float64})


def twins_of(layer: Any) -> list[tuple[Any, Any]]:
    """
    Copy a layer and the layers inside it, but no array.

    Parameters
    ----------
    layer
        Any object with ``forward`` and ``backward``. What it holds in an attribute, or there
        in a list, tuple or dict, may be such objects too.

    Returns
    -------
    list of (layer, copy)
        Itself first, then each layer inside it, once. A class with a ``__copy__`` of its own
        answers for what is inside it.
    """
    twins: _Twins = {}
    _twin(layer, twins)
    return list(twins.values())


def drop_arrays(layer: Any) -> None:
    """Take from a layer all attributes that are arrays, so that it is as it was made."""
    held = vars(layer)
    for name, value in [*held.items()]:
        if type(value) not in _PLAIN and hasattr(value, "shape"):
            del held[name]


def parameters_of(layer: Any) -> tuple[str, ...]:
    """Name what a layer learns; a layer that does not tell learns nothing."""
    names: tuple[str, ...] = getattr(layer, "parameters", ())
    return names


def put(layer: Any, name: str, value: Any) -> None:
    """Set an attribute; what a property only reads from a layer inside is set there instead."""
    try:
        setattr(layer, name, value)
    except AttributeError:
        if not isinstance(getattr(type(layer), name, None), property):
            raise


def _twin(layer: Any, twins: _Twins) -> Any:
    kind: type = type(layer)
    if _says_how_to_copy(kind):
        copied = copy.copy(layer)
        twins[id(layer)] = layer, copied
        return copied
    twin: Any = object.__new__(kind)
    twins[id(layer)] = layer, twin
    held = vars(twin)
    held.update(vars(layer))
    for name, value in held.items():
        if type(value) not in _NO_LAYERS:
            held[name] = _twin_within(value, twins)
    return twin


def _twin_within(value: Any, twins: _Twins) -> Any:
    kind: type = type(value)
    if kind is tuple:
        return value if _NO_LAYERS.issuperset(map(type, value)) else tuple(_each(value, twins))
    if kind is list:
        return _each(value, twins)
    if kind is dict:
        return dict(zip(value, _each(value.values(), twins), strict=True))
    if not _is_layer(kind):
        return value
    return twins[id(value)][1] if id(value) in twins else _twin(value, twins)


def _each(values: Iterable[Any], twins: _Twins) -> list[Any]:
    return [_twin_within(value, twins) for value in values]


@cache
def _says_how_to_copy(kind: type) -> bool:
    return hasattr(kind, "__copy__") or "__reduce_ex__" in vars(kind)


@cache
def _is_layer(kind: type) -> bool:
    return hasattr(kind, "forward") and hasattr(kind, "backward")
