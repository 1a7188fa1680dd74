"""Copies of layers: a node keeps one, because the layer itself runs on."""

import copy
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np

__all__ = ["drop_arrays", "parameters_of", "places_of", "twins_of"]

_Twins: TypeAlias = dict[int, Any]
_PLAIN = frozenset({bool, int, float, str, tuple, type(None)})
_NO_LAYERS = frozenset({bool, int, float, str, type(None), np.ndarray, np.float32, np.float64})


def twins_of(layer: Any) -> tuple[list[Any], list[Any]]:
    """
    Copy a layer and the layers inside it, but no array.

    Parameters
    ----------
    layer
        Any object with ``forward`` and ``backward``. What it holds in an attribute, or there
        in a list, tuple or dict, may be such objects too.

    Returns
    -------
    layers, copies : list
        Itself first, then each layer inside it, once; and the copies in the same order. A class
        with a ``__copy__`` of its own answers for what is inside it.
    """
    layers: list[Any] = []
    twins: _Twins = {}
    _twin(layer, layers, twins)
    return layers, list(twins.values())


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


def places_of(layers: Sequence[Any]) -> list[tuple[Any, str]]:
    """
    Tell where a layer and the layers inside it keep what they learn.

    Parameters
    ----------
    layers : sequence
        The layer, then those inside it, as from `twins_of`.

    Returns
    -------
    list of (layer, str)
        Each parameter once: what properties of a layer only show of one inside is there.
    """
    found = []
    alone = len(layers) == 1
    for layer in layers:
        kind: type = type(layer)
        names = parameters_of(layer)
        found += [(layer, name) for name in names if alone or not _only_shows(kind, f"d{name}")]
    return found


def _twin(layer: Any, layers: list[Any], twins: _Twins) -> Any:
    kind: type = type(layer)
    layers.append(layer)
    if _says_how_to_copy(kind):
        twins[id(layer)] = copied = copy.copy(layer)
        return copied
    twin: Any = object.__new__(kind)
    twins[id(layer)] = twin
    held = vars(twin)
    held.update(vars(layer))
    for name, value in held.items():
        of = type(value)
        if of not in _NO_LAYERS and not (of is tuple and _NO_LAYERS.issuperset(map(type, value))):
            held[name] = _twin_within(value, layers, twins)
    return twin


def _twin_within(value: Any, layers: list[Any], twins: _Twins) -> Any:
    kind: type = type(value)
    if kind is tuple:
        return tuple(_each(value, layers, twins))
    if kind is list:
        return _each(value, layers, twins)
    if kind is dict:
        return dict(zip(value, _each(value.values(), layers, twins), strict=True))
    if not _is_layer(kind):
        return value
    if id(value) in twins:
        return twins[id(value)]
    twin = _twin(value, layers, twins)
    for name in parameters_of(twin):
        vars(twin).pop(f"d{name}", None)  # of an earlier use; this one may leave the layer out
    return twin


def _each(values: Iterable[Any], layers: list[Any], twins: _Twins) -> list[Any]:
    return [_twin_within(value, layers, twins) for value in values]


@cache
def _says_how_to_copy(kind: type) -> bool:
    return hasattr(kind, "__copy__") or "__reduce_ex__" in vars(kind)


@cache
def _only_shows(kind: type, name: str) -> bool:
    shown = getattr(kind, name, None)
    return isinstance(shown, property) and shown.fset is None


@cache
def _is_layer(kind: type) -> bool:
    return hasattr(kind, "forward") and hasattr(kind, "backward")
