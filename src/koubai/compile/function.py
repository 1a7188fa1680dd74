"""koubai.compile: a pure function of arrays, by the same machinery as a training step."""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from functools import update_wrapper
from typing import Any

from koubai.arrays import shared_namespace
from koubai.backend import Backend, Device, device_of
from koubai.compile.record import flatten, unflatten
from koubai.compile.state import SWITCHES, Slot, State, is_array, twin_of
from koubai.compile.step import plan_of, watcher
from koubai.errors import KoubaiError, NotAnArrayError
from koubai.networks import Network
from koubai.networks.door import watched_by

__all__ = ["CompiledFunction", "compile_function"]

RECORDS = 8  # kept beside each other


def compile_function(function: Callable[..., Any]) -> "CompiledFunction":
    """
    Make a pure function of arrays faster: inference, or a step of one's own.

    Parameters
    ----------
    function : callable
        Takes arrays and numbers by position, gives an array, or a tuple, list or dict
        of them, is made of standard functions, and changes nothing. A method of a
        `Network`, such as ``network.predict``, takes the parameters as they are at each
        call. Arrays that any other function takes from elsewhere are constants: they are
        those that were there at the first call.

    Returns
    -------
    CompiledFunction
        A function of the same arguments. The first call with arrays of new shapes or
        dtypes compiles; the compiled functions are kept beside each other, 8 at most.

    Raises
    ------
    KoubaiError
        If it is no function.

    Examples
    --------
    >>> import numpy as np
    >>> import koubai
    >>> net = koubai.TwoLayerNet(4, 8, 2, rng=0)
    >>> predict = koubai.compile(net.predict)
    >>> predict(np.ones((5, 4), dtype=np.float32)).shape
    (5, 2)
    """
    return CompiledFunction(function)


class CompiledFunction:
    """
    A function made by `koubai.compile`; call it with the arguments of the original.

    Parameters
    ----------
    function : callable
        As for `koubai.compile`.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise KoubaiError(
                f"koubai.compile: {function!r} is no function. For a training step: "
                "koubai.compile_step(network, optimizer)."
            )
        self._function = function
        self._network = getattr(function, "__self__", None)
        self._name = repr(self)
        self._layers: list[object] = []
        self._slots: list[Slot] = []
        self._nothing: dict[str, Any] = {}  # the state of a function
        self._records: OrderedDict[object, Callable[..., Any]] = OrderedDict()
        self._last: tuple[Callable[..., Any], Device] | None = None
        update_wrapper(self, function)

    def __repr__(self) -> str:
        return f"koubai.compile({self._function!r})"

    def __call__(self, *args: Any) -> Any:
        """
        Run the function.

        Parameters
        ----------
        *args : Array or float
            Arrays of one library on one device, at least one; numbers are taken anew at
            each call.

        Returns
        -------
        Array, or a tuple, list or dict of arrays
            What the function gives; the caller's to keep.

        Raises
        ------
        CompileError
            If the function does what cannot be compiled; the error shows the line.
        NotAnArrayError
            If there is no array among the arguments.
        """
        parameters = self._parameters()
        given = *parameters, *args
        place = self._place(args, parameters)
        if place is None:  # within another function that is being compiled
            return self._function(*args)
        key = (str(place), *map(_kind, given), *self._switches())
        run = self._records.get(key) or place.backend.compile(self._pure, place.name)
        _, found = run(self._nothing, *given)
        if type(place.backend).compile is Backend.compile:  # which may give an input back
            found = _copied(place, found)
        self._records[key] = run
        self._records.move_to_end(key)
        if len(self._records) > RECORDS:
            self._records.popitem(last=False)
        self._last = run, place
        return found

    @property
    def plan(self) -> Any:
        """The plan of the last call, to be printed; see `CompiledStep.plan`."""
        if self._last is None:
            raise KoubaiError("There is no plan before the first call.")
        return plan_of(*self._last)

    def _parameters(self) -> tuple[Any, ...]:
        """Give the arrays that a network's method reads beside its arguments."""
        network = self._network
        if not isinstance(network, Network):
            return ()
        layers = [*network.layers.values(), network.last_layer]
        if layers != self._layers:
            self._layers, self._slots = layers, [*State(network, None).slots.values()]
        return tuple(value for slot in self._slots if is_array(value := slot.get()))

    def _pure(self, _: dict[str, Any], *given: Any) -> tuple[dict[str, Any], Any]:
        if not isinstance(self._network, Network):
            return {}, self._function(*given)
        twin, _optimizer = twin_of(self._network, None)
        slots = [slot for slot in State(twin, None).slots.values() if is_array(slot.get())]
        for slot, value in zip(slots, given, strict=False):
            slot.set(value)
        place = self._network.device
        with watched_by(watcher(place)) if place is not None else nullcontext():
            return {}, getattr(twin, self._function.__name__)(*given[len(slots) :])

    def _switches(self) -> tuple[Any, ...]:
        """Give what the layers of a network are switched by."""
        if not isinstance(self._network, Network):
            return ()
        owners = (self._network, *self._network.layers.values())
        return tuple(
            (name, value)
            for owner in owners
            for name, value in getattr(owner, "__dict__", {}).items()
            if type(value) in SWITCHES
        )

    def _place(self, args: tuple[Any, ...], parameters: tuple[Any, ...]) -> Device | None:
        arrays = {f"argument {i}": arg for i, arg in enumerate(args, start=1) if is_array(arg)}
        if not arrays:
            raise NotAnArrayError(
                f"{self!r}: there is no array among the arguments. koubai.asarray(...) makes one."
            )
        first = next(iter(arrays.values()))
        if parameters:
            arrays["the parameters"] = parameters[0]
        shared_namespace(self._name, arrays)
        return device_of(first)


def _copied(place: Device, found: Any) -> Any:
    arrays: list[Any] = []
    form = flatten(found, arrays)
    return unflatten(form, [place.asarray(array, copy=True) for array in arrays])


def _kind(arg: Any) -> object:
    return (arg.shape, arg.dtype) if is_array(arg) else type(arg)
