"""What a network is made of, told without its arrays, and built again from that."""

import inspect
from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

from koubai.backend import Device
from koubai.errors import ArchitectureError, SavingError
from koubai.networks import Network
from koubai.networks.parameters import locate, locate_state
from koubai.saving.known import LAYERS, NETWORKS, find, name_of
from koubai.saving.plain import to_plain
from koubai.typing import Array

__all__ = ["build", "describe"]

_FLOATS = frozenset({"float16", "float32", "float64"})
_MADE_BY_NETWORK = frozenset({"layers", "last_layer"})


def describe(network: Network) -> dict[str, Any]:
    """
    Tell what a network is made of, in plain values.

    Parameters
    ----------
    network : Network
        The network.

    Returns
    -------
    dict
        Its class, its own plain attributes, every layer with its class, its settings and
        the names of its arrays, and the last layer.

    Raises
    ------
    ArchitectureError
        If a layer keeps what it was made with in no attribute, or in one that is not plain.

    Examples
    --------
    >>> import koubai
    >>> found = describe(koubai.TwoLayerNet(784, 50, 10, rng=0))
    >>> found["layers"]["Affine2"]
    {'class': 'Affine', 'arrays': {'W': 'W2', 'b': 'b2'}}
    """
    places = locate(network.layers) | locate_state(network.layers)
    arrays: dict[int, dict[str, str]] = {}
    first: dict[int, tuple[str, Array]] = {}  # a shared array goes by the name it has first
    for key, (layer, name) in places.items():
        array: Any = getattr(layer, name, None)
        if hasattr(array, "dtype"):
            known, _ = first.setdefault(id(array), (key, array))
            arrays.setdefault(id(layer), {})[name] = known
    kind = name_of(NETWORKS, type(network), "register_network")
    owned = {
        name: value
        for name, value in vars(network).items()
        if name not in _MADE_BY_NETWORK and not name.startswith("_")
    }
    return {
        "class": kind,
        "attributes": {name: _plain(kind, name, value) for name, value in owned.items()},
        "layers": {
            label: _describe_layer(label, layer, arrays.get(id(layer), {}))
            for label, layer in network.layers.items()
        },
        "last_layer": _describe_layer("last_layer", network.last_layer, {}),
    }


def build(
    where: str, description: Mapping[str, Any], arrays: Mapping[str, Array], place: Device
) -> Network:
    """
    Build the network that `describe` told of.

    Parameters
    ----------
    where : str
        Whom an error names.
    description : dict
        What `describe` gave, and JSON gave back.
    arrays : mapping of str to Array
        All arrays by name, on the device.
    place : Device
        Where they are.

    Returns
    -------
    Network
        Of the class that is told of.

    Raises
    ------
    ArchitectureError
        If a class is not known here, or does not take what is told of it.
    """
    kind = find(where, NETWORKS, description["class"], "register_network")
    layers = {
        label: _build_layer(f"{where}: {label}", told, arrays, place)
        for label, told in description["layers"].items()
    }
    last = _build_layer(f"{where}: last_layer", description["last_layer"], arrays, place)
    network: Network = object.__new__(kind)
    Network.__init__(network, layers, last)
    network.layers = layers
    for name, value in description["attributes"].items():
        if name.startswith("_") or name in _MADE_BY_NETWORK or _is_of_class(kind, name):
            raise ArchitectureError(
                f"{where}: the file has an attribute {name!r}, which is part of {kind.__name__} "
                "itself. It was made by another version of the class, or by hand."
            )
        setattr(network, name, value)
    return network


def _is_of_class(kind: type, name: str) -> bool:
    """Tell whether a class has a method or property of a name, not just a default."""
    return hasattr(inspect.getattr_static(kind, name, None), "__get__")


def _describe_layer(label: str, layer: object, arrays: dict[str, str]) -> dict[str, Any]:
    told: dict[str, Any] = {"class": name_of(LAYERS, type(layer), "register_layer")}
    settings = _settings(label, layer)
    dtypes = {name: dtype for name, value in settings.items() if (dtype := _dtype(value))}
    plain = {
        name: _plain(label, name, value) for name, value in settings.items() if name not in dtypes
    }
    parts = {"settings": plain, "dtypes": dtypes, "arrays": arrays}
    return told | {key: part for key, part in parts.items() if part}


def _settings(label: str, layer: object) -> dict[str, Any]:
    """Give what a layer was made with, apart from its arrays."""
    told = getattr(layer, "settings", None)
    if callable(told):
        return dict(told())
    arrays = {*getattr(layer, "parameters", ()), *getattr(type(layer), "state", ())}
    settings = {}
    for name, parameter in signature(type(layer)).parameters.items():
        if name in arrays or parameter.kind in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}:
            continue
        try:
            settings[name] = getattr(layer, name)
        except AttributeError as error:
            raise ArchitectureError(
                f"save: {label} ({type(layer).__name__}) was made with {name!r}, but keeps no "
                f"attribute of that name. Let __init__ write self.{name} = {name}, or give the "
                "class a method settings() that gives its plain arguments as a dict."
            ) from error
    return settings


def _plain(label: str, name: str, value: Any) -> Any:
    """Give a value as it is, having seen that JSON can hold it."""
    try:
        to_plain(value, name)
    except SavingError as error:
        raise ArchitectureError(
            f"save: {label}: {error} If {name!r} is learned, name it in parameters; if the layer "
            "changes it by itself, in state; else a method settings() may leave it out."
        ) from error
    return value


def _dtype(value: object) -> str:
    """Give the name of a floating-point dtype of any library; empty for all else."""
    if value is None or isinstance(value, (str, int, float, list, tuple, dict)):
        return ""
    name = str(getattr(value, "__name__", value)).rpartition(".")[2]
    return name if name in _FLOATS else ""


def _build_layer(
    where: str, told: Mapping[str, Any], arrays: Mapping[str, Array], place: Device
) -> Any:
    kind = find(where, LAYERS, told["class"], "register_layer")
    settings = dict(told.get("settings", {}))
    for name, dtype in told.get("dtypes", {}).items():
        settings[name] = getattr(place.xp, dtype if dtype in _FLOATS else "")
    own = {name: arrays[key] for name, key in told.get("arrays", {}).items()}
    taken = {name: own[name] for name in signature(kind).parameters if name in own}
    try:
        layer = kind(**settings, **taken)
    except TypeError as error:
        raise ArchitectureError(
            f"{where}: {kind.__name__}({', '.join([*settings, *taken])}) cannot be made: {error}. "
            "The class has changed since the file was written, or it needs a method settings()."
        ) from error
    for name in own.keys() - taken.keys():
        setattr(layer, name, own[name])
    return layer
