"""Subject and Stage: a layer or network made ready to be run at any point, on any device."""

import contextlib
import copy
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from koubai.arrays import describe, dtype_name, shared_namespace
from koubai.backend import Device, device, device_of, to_numpy
from koubai.errors import DTypeError, KoubaiError
from koubai.networks import Network
from koubai.networks.parameters import locate

__all__ = ["Host", "LayerFailedError", "Outcome", "Point", "Stage", "Subject", "to_host"]

Host = npt.NDArray[Any]
Point = Mapping[str, Host]


class LayerFailedError(Exception):
    """A layer raised, warned, or changed what is not its own; says in which phase."""

    def __init__(self, phase: str, why: str) -> None:
        super().__init__(why)
        self.phase = phase


@dataclass(frozen=True)
class Outcome:
    """What one run gave, in float64 on the host, and what is odd about it."""

    output: Host
    gradients: dict[str, Host]
    notes: dict[str, str]


@dataclass(frozen=True)
class Subject:
    """
    A layer or network, what it takes, and where it is to run.

    Attributes
    ----------
    target
        A layer or network, or any object with the book's ``forward`` and ``backward``.
    inputs : dict of str to object
        What forward takes, by the names of its parameters.
    learned : tuple of str
        The attributes of a layer that are its parameters; a network knows its own.
    place : Device
        Where it runs.
    dtype : str
        The dtype of its floating-point arrays.
    """

    target: Any
    inputs: dict[str, object]
    learned: tuple[str, ...]
    place: Device
    dtype: str

    @classmethod
    def of(cls, target: Any, inputs: tuple[object, ...]) -> Self:
        """Look at a target and its inputs: their names, their device, their dtype."""
        named = _named(target, inputs)
        learned = _learned(target, named)
        values = named | _parameters(target, learned)
        arrays = {name: value for name, value in values.items() if device_of(value)}
        if arrays:
            shared_namespace("check_gradients", arrays)
        place = next(map(device_of, arrays.values()), None) or device("cpu")
        dtype = next(filter(None, map(_float_dtype, arrays.values())), "float64")
        subject = cls(target, named, learned, place, dtype)
        if not any(host.size for name, host in subject.point().items() if name != "t"):
            found = ", ".join(f"{name}: {describe(value)}" for name, value in named.items())
            raise DTypeError(
                f"check_gradients: {subject.name} has no gradient to prove, because nothing that "
                f"it takes is a floating-point number or array ({found}). "
                'koubai.asarray(x, dtype="float64") makes one.'
            )
        return subject

    @property
    def name(self) -> str:
        """The target as it writes itself; by its class where that says too much or nothing."""
        text = repr(self.target)
        unfit = isinstance(self.target, Network) or text.startswith("<")
        return type(self.target).__name__ if unfit else text

    def __str__(self) -> str:
        return f"{self.name} on {self.place}, {self.dtype}"

    def in_float64(self) -> Self:
        """Give the same in float64: on the same device where it can, else on NumPy."""
        known = self.place.backend.dtypes(self.place.name)
        place = self.place if "float64" in known else device("cpu")
        return replace(self, place=place, dtype="float64")

    def point(self) -> dict[str, Host]:
        """Give the inputs and parameters that can be varied, in float64 on the host."""
        arrays = self.inputs | _parameters(self.target, self.learned)
        return {
            name: to_host(array)
            for name, array in arrays.items()
            if _is_number(array) or _float_dtype(array)
        }


class Stage:
    """
    A copy of the target at a point, with all that it takes on the device.

    Parameters
    ----------
    subject : Subject
        What is to run, and where.
    point : mapping of str to numpy.ndarray
        The values of inputs and parameters.
    """

    def __init__(self, subject: Subject, point: Point) -> None:
        self.subject = subject
        self.point = point
        self.target = copy.deepcopy(subject.target)
        self.places = _places(self.target, subject.learned)
        self.given = {name: self._give(name, value) for name, value in subject.inputs.items()}
        self.given |= {name: self.hand(point[name]) for name in self.places}
        self.values = _values(self.given)

    def hand_like(self, name: str, host: Host) -> Any:
        """Hand over a changed input or parameter: as a number where the input was one."""
        return float(host) if _is_number(self.subject.inputs.get(name)) else self.hand(host)

    def hand(self, host: Host) -> Any:
        """Put values on the device as any layer should be able to take them: read-only, strided."""
        place = self.subject.place
        doubled = np.repeat(host[..., np.newaxis], 2, axis=-1)
        strided = place.asarray(doubled, dtype=self.subject.dtype)[..., 0]
        return place.backend.read_only(strided)

    def forward(self, changed: Mapping[str, Any]) -> Any:
        """Give the output, with some of the inputs and parameters changed."""
        arrays = self.given | dict(changed)
        for name, (owner, key) in self.places.items():
            setattr(owner, key, arrays[name])
        with _phase("forward"):
            y = _forward(self.target)(*(arrays[name] for name in self.subject.inputs))
        if not _is_array(y):
            raise LayerFailedError("forward", f"gave {describe(y)}, not an array")
        return y

    def run_elsewhere(self) -> None:
        """Run forward and backward at another point, so that nothing left over goes unseen."""
        moved = {name: 1.01 * host for name, host in self.point.items() if name != "t"}
        y = self.forward({name: self.hand_like(name, host) for name, host in moved.items()})
        _require_same("forward", self.given, self.values)
        dout = 1.0 if _is_number(y) else self.hand(np.ones(tuple(y.shape)))
        with _phase("backward"):
            self.target.backward(dout)
        _require_same("backward", self.given, self.values)

    def gradients(self, cotangent: Host) -> Outcome:
        """Give the gradients of sum(cotangent * output) by the target's own backward."""
        y = self.forward({})
        given = self.given | {"output": y}
        values = self.values | {"output": to_host(y)}
        self._require_unchanged("forward", given, values)
        given["dout"] = float(cotangent) if _is_number(y) else self.hand(cotangent)
        values["dout"] = to_host(given["dout"])
        with _phase("backward"):
            returned = self.target.backward(given["dout"])
        self._require_unchanged("backward", given, values)
        arrays = self._of_inputs(returned) | self._of_parameters()
        notes = {
            name: self._oddity(array, self.point[name].shape) for name, array in arrays.items()
        }
        gradients = {name: to_host(array) for name, array in arrays.items() if not notes[name]}
        if isinstance(self.target, Network):
            notes |= self._disagreements(gradients, float(cotangent))
            gradients = {name: host for name, host in gradients.items() if not notes[name]}
        notes["output"] = self._oddity(y, cotangent.shape)
        odd = {name: note for name, note in notes.items() if note}
        return Outcome(values["output"], gradients, odd)

    def _give(self, name: str, value: object) -> Any:
        if name in self.point:
            return self.hand_like(name, self.point[name])
        if device_of(value) is None:
            return value  # a switch such as train_flg=True
        place = self.subject.place
        return place.backend.read_only(place.asarray(value, copy=True))

    def _of_inputs(self, returned: Any) -> dict[str, Any]:
        """Name what backward returned; targets, which the book calls t, need no gradient."""
        inputs = self.subject.inputs
        found = returned if isinstance(returned, tuple) else (returned,)
        if len(found) > len(inputs):
            why = f"gave {len(found)} gradients, but forward takes {', '.join(inputs)}"
            raise LayerFailedError("backward", why)
        return {
            name: array
            for name, array in zip_longest(inputs, found)
            if name in self.point and not (name == "t" and array is None)
        }

    def _of_parameters(self) -> dict[str, Any]:
        return {name: getattr(owner, f"d{key}", None) for name, (owner, key) in self.places.items()}

    def _disagreements(self, gradients: Mapping[str, Host], dout: float) -> dict[str, str]:
        """Hold what a network's ``gradient`` gives against what its ``backward`` left."""
        with _phase("gradient"):
            own = self.target.gradient(*(self.given[name] for name in self.subject.inputs))
        near = float(np.finfo(self.subject.dtype).eps) ** 0.5
        return {
            name: "gradient() gives another one than backward()"
            for name, found in own.items()
            if name in gradients
            and not np.allclose(dout * to_host(found), gradients[name], rtol=near, atol=near)
        }

    def _require_unchanged(
        self, phase: str, given: Mapping[str, Any], values: Mapping[str, Host]
    ) -> None:
        _require_same(phase, given, values)
        for name, (owner, key) in self.places.items():
            if getattr(owner, key) is not given[name]:
                raise LayerFailedError(phase, f"{name} was replaced, which only training may do")

    def _oddity(self, array: Any, shape: tuple[int, ...]) -> str:
        """Say in what an array differs from what was to be given, its values apart."""
        if not _is_array(array):
            return f"is {describe(array)}, not an array" if array is not None else "has no gradient"
        found, wanted = tuple(getattr(array, "shape", ())), self.subject
        if found != shape:
            return f"is of shape {found}, not {shape}"
        if not np.all(np.isfinite(to_host(array))):
            return "is NaN or infinite"
        if _is_number(array):
            return ""
        if (home := device_of(array)) != wanted.place:
            return f"is on {home}, not on {wanted.place}"
        dtype = dtype_name(array)
        return "" if dtype == wanted.dtype else f"is {dtype}, not {wanted.dtype}"


def to_host(value: Any) -> Host:
    """Copy an array or number to the host, in float64."""
    host = np.asarray(value) if _is_number(value) else to_numpy(value)
    return host.astype(np.float64)


@contextlib.contextmanager
def _phase(name: str) -> Iterator[None]:
    """Turn whatever a layer raises or warns of into a LayerFailedError."""
    with warnings.catch_warnings(), np.errstate(all="warn", under="ignore"):
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("error", UserWarning)
        try:
            yield
        except KoubaiError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            hint = "; what a layer is handed belongs to the caller" if "read-only" in why else ""
            raise LayerFailedError(name, why + hint) from error


def _forward(target: Any) -> Callable[..., Any]:
    forward: Callable[..., Any] = target.loss if isinstance(target, Network) else target.forward
    return forward


def _named(target: Any, inputs: tuple[object, ...]) -> dict[str, object]:
    """Give the inputs by the names that forward has for them."""
    kind = type(target).__name__
    if not isinstance(target, Network) and not (
        hasattr(target, "forward") and hasattr(target, "backward")
    ):
        raise KoubaiError(f"check_gradients: {kind} has no forward and backward to prove.")
    signature = getattr(target, "signature", None) or inspect.signature(_forward(target))
    known = list(signature.parameters)
    try:
        signature.bind(*inputs)
    except TypeError as error:
        raise TypeError(
            f"check_gradients: {kind} takes {', '.join(known)}, but the number of inputs given is "
            f"{len(inputs)}: {error}."
        ) from error
    unnamed = (f"input {number}" for number in range(len(known) + 1, len(inputs) + 1))
    return dict(zip([*known, *unnamed], inputs, strict=False))


def _learned(target: Any, inputs: Mapping[str, object]) -> tuple[str, ...]:
    """Name what a layer learns. A class of the book's own has a dW beside W once it has run."""
    if isinstance(target, Network) or hasattr(target, "parameters"):
        return tuple(getattr(target, "parameters", ()))
    twin = copy.deepcopy(target)
    with contextlib.suppress(Exception):  # the check itself will tell of it
        y = twin.forward(*copy.deepcopy(inputs).values())
        twin.backward(y * 0 + 1)
    own = vars(twin)
    return tuple(name for name in own if f"d{name}" in own and name not in inputs)


def _places(target: Any, learned: tuple[str, ...]) -> dict[str, tuple[Any, str]]:
    if isinstance(target, Network):
        return locate(target.layers)
    return {name: (target, name) for name in learned if _float_dtype(getattr(target, name))}


def _parameters(target: Any, learned: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(owner, key) for name, (owner, key) in _places(target, learned).items()}


def _require_same(phase: str, given: Mapping[str, Any], values: Mapping[str, Host]) -> None:
    for name, host in values.items():
        if not np.array_equal(to_host(given[name]), host, equal_nan=True):
            raise LayerFailedError(phase, f"{name} was changed, but it belongs to the caller")


def _values(given: Mapping[str, Any]) -> dict[str, Host]:
    return {name: to_host(value) for name, value in given.items() if _is_array(value)}


def _is_array(value: object) -> bool:
    return _is_number(value) or device_of(value) is not None


def _is_number(value: object) -> bool:
    return type(value) in {int, float}


def _float_dtype(array: Any) -> str:
    name = dtype_name(array) if hasattr(array, "dtype") else ""
    return name if name.startswith("float") else ""
