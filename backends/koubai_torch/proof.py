"""Proof: a faster way to run a function is taken only if its first run gave the same."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from koubai.backend import PureFunction
from koubai.compile.record import flatten

__all__ = ["proven"]

_Found = tuple[dict[str, Any], Any]


def proven(
    make: Callable[[], PureFunction], plain: PureFunction, state: dict[str, Any], *inputs: Any
) -> tuple[PureFunction | None, _Found]:
    """
    Run a function as it is and in a faster way, and compare.

    Parameters
    ----------
    make : callable
        Gives the faster way, if there is one; else it raises.
    plain : callable
        ``(state, *inputs) -> (state, outputs)``, the function as it is. What it raises is
        raised.
    state : dict of str to Tensor or number
        The state; the faster way may write over it.
    inputs : Tensor or number
        The inputs.

    Returns
    -------
    fast : callable or None
        The faster way, where it gave what the function gives: the same names, types, shapes
        and dtypes, and the same numbers to half of the digits of what changed.
    found : (state, outputs)
        What the function gives.
    """
    expected, outputs = plain(_copied(state), *inputs)
    changes = {name: _change(value, state.get(name)) for name, value in expected.items()}
    noise = _noise(outputs, changes.values())
    try:
        fast = make()
        found, given = fast(state, *inputs)
        same = found.keys() == expected.keys() and _same_outputs(given, outputs)
        same = same and all(_alike(found[n], expected[n], changes[n], noise) for n in expected)
    except Exception:  # noqa: BLE001  (the function itself ran: whatever it is, it is the other way)
        same = False
    if same:
        return fast, (found, given)
    return None, ({name: _put(value, state.get(name)) for name, value in expected.items()}, outputs)


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.detach().clone() if isinstance(value, torch.Tensor) else value
        for name, value in state.items()
    }


def _put(value: Any, old: Any) -> Any:
    """Put a value into the tensor that the caller knows, if it has the same form."""
    tensors = isinstance(value, torch.Tensor) and isinstance(old, torch.Tensor)
    if not tensors or old.is_inference() or (old.shape, old.dtype) != (value.shape, value.dtype):
        return value
    with torch.no_grad():
        return old.copy_(value)


def _same_outputs(given: Any, outputs: Any) -> bool:
    flat: tuple[list[Any], list[Any]] = [], []
    forms = [flatten(each, into) for each, into in zip((given, outputs), flat, strict=True)]
    return (
        forms[0] == forms[1]
        and len(flat[0]) == len(flat[1])
        and all(_alike(each, wanted, _change(wanted)) for each, wanted in zip(*flat, strict=True))
    )


def _alike(found: Any, expected: Any, change: float, noise: float = 0.0) -> bool:
    """Tell whether two values are the same, but for noise, to half of the digits of a change."""
    if not isinstance(expected, torch.Tensor) or not isinstance(found, torch.Tensor):
        return type(found) is type(expected) and bool(found == expected)
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    if not expected.is_floating_point():
        return bool(torch.equal(found, expected))
    eps = torch.finfo(expected.dtype).eps
    close = eps**0.5 * change + 4 * eps * _change(expected) + noise
    return bool(torch.allclose(found, expected, rtol=0.0, atol=close, equal_nan=True))


def _noise(outputs: Any, changes: Iterable[float]) -> float:
    """Give what may be left of sums that cancel, as the gradient of a bias often does."""
    flat: list[Any] = []
    flatten(outputs, flat)
    tensors = [v for v in flat if isinstance(v, torch.Tensor) and v.is_floating_point()]
    eps = max((torch.finfo(v.dtype).eps for v in tensors), default=0.0)
    largest, most = max(map(_change, tensors), default=0.0), max(changes, default=0.0)
    return float(eps * largest + eps**0.75 * most)


def _change(value: Any, before: Any = None) -> float:
    """Give the largest change of a tensor; of a new one, its largest element."""
    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or not value.numel():
        return 0.0
    if isinstance(before, torch.Tensor) and before.shape == value.shape:
        value = value - before.detach()
    return float(value.nan_to_num(0, 0, 0).abs().amax())
