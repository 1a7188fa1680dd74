"""Where the state of a training step lives: in the layers, and in the optimizer."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from koubai.arrays import dtype_name, is_kind, shared_namespace
from koubai.errors import CompileError
from koubai.layers import Layer
from koubai.networks import Network, ParameterView
from koubai.networks.chain import ChainLayer
from koubai.networks.parameters import locate
from koubai.typing import Array

__all__ = [
    "SWITCHES",
    "BoundParameters",
    "Slot",
    "State",
    "grow",
    "is_array",
    "is_number",
    "twin_of",
]

SWITCHES = (bool, int, float, str, type(None))
"""The types of attributes by which a layer may be switched from one way to another."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Slot:
    """One place that holds an array or a number: ``owner[key]``."""

    owner: Any
    key: Any

    @classmethod
    def attribute(cls, thing: Any, name: str) -> "Slot":
        """Give the place of an attribute."""
        plain = name in getattr(thing, "__dict__", ())
        return cls(vars(thing) if plain else _Attributes(thing), name)

    def get(self) -> Any:
        """Give what is there."""
        return self.owner[self.key]

    def set(self, value: Any) -> None:
        """Put something there."""
        self.owner[self.key] = value


class _Attributes:
    """Attributes that are no plain ones, such as properties, as items."""

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def __getitem__(self, name: str) -> Any:
        return getattr(self._thing, name)

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self._thing, name, value)


class State:
    """
    The arrays and numbers that a step changes or depends on, by name.

    Parameters
    ----------
    network : Network
        Its parameters, by their names, and what its layers name in ``state``.
    optimizer : Optimizer or None
        Its arrays and numbers, as ``optimizer.v.W1`` or ``optimizer.lr``.

    Attributes
    ----------
    slots : dict of str to Slot
        Where each is.
    settings : dict of str to (Slot, object)
        What else the optimizer's attributes hold: switches, names, the dicts themselves.
    """

    def __init__(self, network: Network, optimizer: object | None) -> None:
        places = locate(network.layers)
        self.parameters = tuple(places)
        self._in_layers = {key: Slot.attribute(*place) for key, place in places.items()}
        for label, layer in (*network.layers.items(), ("last_layer", network.last_layer)):
            for name in _state_of(layer):
                self._in_layers[f"{label}.{name}"] = Slot.attribute(layer, name)
        self._look_at(optimizer)

    def _look_at(self, optimizer: object | None) -> None:
        self.slots = dict(self._in_layers)
        self.settings: dict[str, tuple[Slot, Any]] = {}
        for path, slot in _walk(optimizer, "optimizer") if optimizer is not None else ():
            value = slot.get()
            if is_array(value) or is_number(value):
                self.slots[path] = slot
            else:
                self.settings[path] = (slot, value)

    def after(self, optimizer: object) -> "State":
        """Look again, when the optimizer may have other attributes."""
        found = copy.copy(self)
        found._look_at(optimizer)  # noqa: SLF001
        return found

    def of_optimizer(self) -> dict[str, Slot]:
        """Give the slots of the optimizer alone."""
        return {name: slot for name, slot in self.slots.items() if name not in self._in_layers}

    def read(self) -> dict[str, Any]:
        """Give all values as they are."""
        return {name: slot.get() for name, slot in self.slots.items()}

    def ties(self) -> dict[str, str]:
        """Tell for every parameter that is the very array of an earlier one which one that is."""
        first: dict[int, str] = {}
        found = {}
        for name in self.parameters:
            known = first.setdefault(id(self.slots[name].get()), name)
            if known != name:
                found[name] = known
        return found

    def switches(self) -> dict[str, Any]:
        """Describe the settings."""
        return {path: _plain(value) for path, (_, value) in self.settings.items()}

    def structure(self) -> tuple[Any, ...]:
        """Describe what a record depends on: names, shapes, dtypes and settings."""
        slots = ((name, _form(slot.get())) for name, slot in self.slots.items())
        return (*slots, *self.switches().items())


def twin_of(network: Network, optimizer: Any) -> tuple[Network, Any]:
    """
    Copy a network and an optimizer without their arrays.

    What a step does to the attributes of the twins leaves the originals as they are.
    """
    twin = _twin(network)
    layers = [*network.layers.values(), network.last_layer]
    twins: dict[int, Any] = {id(layer): _twin(layer) for layer in layers}
    for name, value in vars(network).items():  # a layer may have other names as well
        if id(value) in twins:
            setattr(twin, name, twins[id(value)])
    twin.layers = {name: twins[id(layer)] for name, layer in network.layers.items()}
    return twin, _copied(optimizer)


def grow(optimizer: Any, twin: Any) -> None:
    """Let the attributes of an optimizer become those of its twin, which were not there before."""
    for key, value in vars(twin).items():
        old = vars(optimizer).get(key)
        if _is_part(value) and type(old) is type(value):
            grow(old, value)
        else:
            vars(optimizer)[key] = _copied(value)


class BoundParameters(ParameterView):
    """
    The parameters as an optimizer in a compiled step sees them.

    A parameter keeps its dtype, as it does where it is written in place, and one that
    stands in two layers changes in both.

    Parameters
    ----------
    layers : mapping of str to layer
        The layers of the network.
    ties : dict of str to str
        The names of parameters that are the array of another one.
    """

    def __init__(self, layers: Mapping[str, ChainLayer], ties: Mapping[str, str]) -> None:
        super().__init__(layers)
        self._tied: dict[str, list[str]] = {}
        for name, other in ties.items():
            group = self._tied.setdefault(other, [other])
            group.append(name)
            self._tied[name] = group

    def __setitem__(self, key: str, value: Array) -> None:
        old = self[key]
        if value is not old and value.dtype != old.dtype:
            xp = shared_namespace(f'params["{key}"]', {"the array assigned": value, "it": old})
            if is_kind(xp, value.dtype, "real floating"):
                value = xp.astype(value, old.dtype)
        for name in self._tied.get(key, (key,)):
            super().__setitem__(name, value)


def is_array(value: object) -> bool:
    """Tell whether something is an array of any library."""
    return hasattr(value, "dtype") and hasattr(value, "shape") and not isinstance(value, type)


def is_number(value: object) -> bool:
    """Tell whether something is a Python number that may change from step to step."""
    return type(value) in (int, float)


def _walk(part: Any, path: str, seen: frozenset[int] = frozenset()) -> Iterator[tuple[str, Slot]]:
    """Go through the attributes of an object, and through the dicts, lists and parts in them."""
    seen |= {id(part)}
    owner = part if isinstance(part, (dict, list)) else vars(part)
    keys = range(len(owner)) if isinstance(owner, list) else list(owner)
    for key in keys:
        value, name = owner[key], f"{path}.{key}"
        if isinstance(value, tuple) and any(map(is_array, value)):
            raise CompileError(
                f"compile_step: {name} is a tuple of arrays, which cannot be exchanged for new "
                "ones. Make it a list or a dict."
            )
        yield name, Slot(owner, key)
        if id(value) not in seen and (isinstance(value, (dict, list)) or _is_part(value)):
            yield from _walk(value, name, seen)


def _is_part(value: object) -> bool:
    """Tell whether something is an object with attributes of its own, such as a schedule."""
    if is_array(value) or isinstance(value, (type, Network, Layer)) or callable(value):
        return False
    return hasattr(value, "__dict__")


def _copied(part: Any, known: dict[int, Any] | None = None) -> Any:
    """Copy dicts, lists and parts, each once, but no arrays."""
    known = {} if known is None else known
    if id(part) in known:
        return known[id(part)]
    if isinstance(part, dict):
        twin: Any = known.setdefault(id(part), {})
        twin.update({key: _copied(value, known) for key, value in part.items()})
    elif isinstance(part, list):
        twin = known.setdefault(id(part), [])
        twin += [_copied(value, known) for value in part]
    elif _is_part(part):
        twin = known.setdefault(id(part), _twin(part))
        vars(twin).update({key: _copied(value, known) for key, value in vars(part).items()})
    else:
        return part
    return twin


def _twin(thing: _T) -> _T:
    """Copy an object as `copy.copy` does, in a tenth of the time if it is a plain one."""
    if hasattr(type(thing), "__copy__") or not hasattr(thing, "__dict__"):
        return copy.copy(thing)
    twin = object.__new__(type(thing))
    vars(twin).update(vars(thing))
    return twin


def _state_of(layer: object) -> tuple[str, ...]:
    names = getattr(type(layer), "state", ())
    return names if isinstance(names, tuple) else ()


def _form(value: Any) -> Any:
    """Tell what a record depends on in an array or a number."""
    return (tuple(value.shape), dtype_name(value)) if is_array(value) else "number"


def _plain(value: Any) -> Any:
    """Give what two settings must have in common to be the same."""
    if isinstance(value, (dict, list)) or _is_part(value):
        return type(value)
    try:
        hash(value)
    except TypeError:
        return id(value)
    return value
