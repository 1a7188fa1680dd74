"""Holdings: the arrays and numbers of a network and its optimizer that a step has made its own."""

from collections.abc import Callable, Mapping
from typing import Any

from koubai.backend import Device, device_of
from koubai.compile.state import Slot, State, grow, is_array, is_number
from koubai.errors import KoubaiError, MixedArraysError
from koubai.networks import Network
from koubai.typing import Array

__all__ = ["Holdings"]


class Holdings:
    """
    What a compiled step changes and depends on, wherever it lies.

    Every array is a copy of the step's own, and stands in its layer or in the optimizer.
    Others may put something else there at any time; so `state` looks first.

    Parameters
    ----------
    network : Network
        The network.
    optimizer : Optimizer
        Its optimizer.
    forget : callable
        Called when layers were exchanged, so that nothing known of the old ones is good.

    Attributes
    ----------
    place : Device
        Where the parameters lie.
    ties : dict of str to str
        The names of parameters that are the array of another one.
    numbers : dict of str to (owner, key)
        Where the numbers of the optimizer are.
    structure : tuple
        Names, shapes, dtypes and settings: what a record depends on.
    on_host : bool
        Whether all of it is NumPy's.
    """

    def __init__(self, network: Network, optimizer: Any, forget: Callable[[], None]) -> None:
        self._network, self._optimizer, self._forget = network, optimizer, forget
        self.place = _home(network)
        self.ties: dict[str, str] = {}
        self.numbers: dict[str, tuple[Any, Any]] = {}
        self.structure: tuple[object, ...] = ()
        self.on_host = False
        self._layers: list[object] = []
        self._is_known = False
        self._now: dict[str, Any] = {}
        self._places: list[tuple[str, Any, Any]] = []
        self._tied: list[tuple[Slot, str]] = []
        self._watched: list[tuple[Slot, Any]] = []

    def state(self) -> dict[str, Any]:
        """Give the arrays and numbers as they are; look anew where something was exchanged."""
        if not self.is_current():
            self._survey()
        return self._now

    def is_current(self) -> bool:
        """Tell whether all is as the last step left it; numbers may have changed."""
        network, now = self._network, self._now
        layers = [*network.layers.values(), network.last_layer]
        if layers != self._layers or not self._is_known:
            return False
        try:
            for name, owner, key in self._places:
                value = owner[key]
                if value is not now[name]:
                    if not is_number(value) or is_array(now[name]):
                        return False
                    now[name] = value
            for slot, value in self._watched:
                if slot.get() is not value:
                    return False
        except LookupError:
            return False
        return True

    def take(self, new: Mapping[str, Any], grown: tuple[Any, dict[str, Slot]] | None) -> None:
        """
        Put a new state in its place.

        Parameters
        ----------
        new : dict of str to array or number
            What a step gave.
        grown : (optimizer, dict of str to Slot) or None
            The twin of the optimizer and its slots, if the step gave it other attributes.
        """
        old = self._now
        self._now = {name: new[name] for name, _, _ in self._places}
        for name, owner, key in self._places:
            owner[key] = new[name]
        for slot, first in self._tied:
            slot.set(new[first])
        self._watched = [
            *self._watched[: len(self._watched) - len(self._tied)],
            *((slot, new[first]) for slot, first in self._tied),
        ]
        if grown is not None:
            twin, slots = grown
            for name, slot in slots.items():
                slot.set(new[name])
            grow(self._optimizer, twin)
            self._now = dict(new)
            self._is_known = False
        if any(not _alike(value, old.get(name)) for name, value in self._now.items()):
            self._is_known = False

    def _survey(self) -> None:
        """Look at everything anew, and copy arrays that are not the step's own."""
        network = self._network
        state, place = State(network, self._optimizer), _home(network)
        ties = state.ties()
        now: dict[str, Any] = {}
        known = self._now if place == self.place else {}
        for name, slot in state.slots.items():
            value, first = slot.get(), ties.get(name, name)
            if is_array(value) and value is not known.get(first):
                slot.set(_own(value, place) if first == name else now[first])
            now[name] = slot.get()
        layers = [*network.layers.values(), network.last_layer]
        if self._layers and self._layers != layers:
            self._forget()
        self.place, self.ties, self._layers, self._is_known = place, ties, layers, True
        self.on_host = place.backend.name == "numpy"
        self._now = {name: value for name, value in now.items() if name not in ties}
        self._places = [
            (name, slot.owner, slot.key) for name, slot in state.slots.items() if name in self._now
        ]
        self.numbers = {
            name: (slot.owner, slot.key)
            for name, slot in state.of_optimizer().items()
            if is_number(slot.get())
        }
        self._tied = [(state.slots[name], first) for name, first in ties.items()]
        self._watched = [
            *state.settings.values(),
            *((slot, now[first]) for slot, first in self._tied),
        ]
        self.structure = (str(place), tuple(ties.items()), state.structure())


def _home(network: Network) -> Device:
    """Give the device of the parameters, if they have one and only one."""
    place = network.device
    if place is None:
        raise KoubaiError("compile_step: the network has no parameters, so nothing learns.")
    for name, array in network.params.items():
        home = device_of(array)
        if home != place:
            raise MixedArraysError(
                f"compile_step: some parameters lie on {place}, but {name} on {home}. "
                f'network.to("{place}") brings them together.'
            )
    return place


def _own(value: Array, place: Device) -> Array:
    """Copy an array of the state to the device, for the step to write over."""
    return place.backend.own_copy(place.asarray(value), place.name)


def _alike(one: Any, other: Any) -> bool:
    """Tell whether a record that is good for one value of the state is good for another."""
    if one is other or not is_array(one):
        return one is other or not is_array(other)
    return is_array(other) and (one.shape, one.dtype) == (other.shape, other.dtype)
