"""The state of an optimizer as a flat dict of names, to be kept, put back and moved."""

from collections.abc import Mapping
from typing import Any

from koubai.backend import Device, asarray, device_of
from koubai.backend import device as select_device
from koubai.errors import OptimizerError

__all__ = ["load", "move", "read"]

_INNER = "optimizer"


def read(rule: Any) -> dict[str, Any]:
    """Give the numbers of an optimizer and copies of its arrays, by their names."""
    found = {name: getattr(rule, name) for name in rule.numbers}
    for name in rule.arrays:
        for key, array in (getattr(rule, name) or {}).items():
            found[f"{name}.{key}"] = asarray(array, device=device_of(array), copy=True)
    inner = _inner(rule)
    if inner is not None:
        found |= {f"{_INNER}.{name}": value for name, value in read(inner).items()}
    return found


def load(rule: Any, given: Mapping[str, Any]) -> None:
    """Put numbers and arrays back where they were, or say all that does not fit."""
    faults = _faults(rule, dict(given), "")
    if faults:
        raise OptimizerError(
            f"{type(rule).__name__}.load_state_dict: this is the state of another optimizer, or "
            "of other parameters:" + "".join(f"\n  {fault}" for fault in faults)
        )
    _put(rule, dict(given))


def move(rule: Any, device: str | Device) -> None:
    """Bring all arrays to a device."""
    place = select_device(device)
    for name in rule.arrays:
        kept = getattr(rule, name)
        if kept is not None:
            setattr(rule, name, {key: place.asarray(array) for key, array in kept.items()})
    inner = _inner(rule)
    if inner is not None:
        move(inner, place)


def _inner(rule: Any) -> Any:
    """Give the optimizer within another one; one of a user's own has to have the same names."""
    inner = vars(rule).get(_INNER)
    if inner is not None and not (hasattr(inner, "numbers") and hasattr(inner, "arrays")):
        raise OptimizerError(
            f"{type(rule).__name__}: {inner!r} does not say what its state is. A subclass of "
            'koubai.optimizers.Rule names it: numbers = ("lr",), arrays = ("v",).'
        )
    return inner


def _faults(rule: Any, given: dict[str, Any], prefix: str) -> list[str]:
    """Tell what is missing, unexpected, or of another shape."""
    inner = _inner(rule)
    mine = {key: value for key, value in given.items() if not _is_inner(inner, key)}
    faults = [f"missing: {prefix}{name}" for name in rule.numbers if name not in mine]
    faults += [
        f"{prefix}{name} has the shape {_shape(mine[name])}, but a number is wanted"
        for name in rule.numbers
        if name in mine and not _is_number(mine[name])
    ]
    shapes = _shapes(rule, mine)
    wanted = {f"{name}.{key}": shape for name in rule.arrays for key, shape in shapes.items()}
    for name, shape in wanted.items():
        if name not in mine:
            faults.append(f"missing: {prefix}{name}")
        elif _shape(mine[name]) != shape:
            faults.append(
                f"{prefix}{name} has the shape {_shape(mine[name])}, but {shape} is wanted"
            )
    faults += [
        f"unexpected: {prefix}{name}" for name in mine if name not in {*rule.numbers, *wanted}
    ]
    if inner is not None:
        faults += _faults(inner, _of_inner(given), f"{prefix}{_INNER}.")
    return faults


def _shapes(rule: Any, mine: dict[str, Any]) -> dict[str, Any]:
    """Give the shapes that arrays must have, by parameter: those that are there, or come first."""
    arrays = {name: value for name, value in mine.items() if name.partition(".")[0] in rule.arrays}
    if not arrays:
        return {}  # the state before the first step
    known = next((getattr(rule, name) for name in rule.arrays if getattr(rule, name)), None)
    if known:
        return {key: _shape(array) for key, array in known.items()}
    shapes: dict[str, Any] = {}
    for name, value in arrays.items():
        shapes.setdefault(name.partition(".")[2], _shape(value))
    return shapes


def _put(rule: Any, given: dict[str, Any]) -> None:
    for name in rule.numbers:
        value = given[name]
        setattr(rule, name, value.item() if hasattr(value, "item") else value)
    for name in rule.arrays:
        old = getattr(rule, name) or {}
        new = {
            label.partition(".")[2]: value
            for label, value in given.items()
            if label.partition(".")[0] == name
        }
        homes = {key: device_of(old.get(key, value)) for key, value in new.items()}
        kept = {key: asarray(new[key], device=homes[key], copy=True) for key in new}
        setattr(rule, name, kept or None)
    inner = _inner(rule)
    if inner is not None:
        _put(inner, _of_inner(given))


def _of_inner(given: dict[str, Any]) -> dict[str, Any]:
    start = f"{_INNER}."
    return {key.removeprefix(start): each for key, each in given.items() if key.startswith(start)}


def _is_inner(inner: Any, key: str) -> bool:
    return inner is not None and key.startswith(f"{_INNER}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (hasattr(value, "item") and _shape(value) == ())


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(getattr(value, "shape", ()))
