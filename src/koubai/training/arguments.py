"""What a Trainer is told, seen at the door."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from koubai import optimizers
from koubai.errors import KoubaiError
from koubai.optimizers import Optimizer

__all__ = ["EVENTS", "Event", "at_least", "chosen_optimizer", "listeners"]

Event: TypeAlias = Literal["begin", "step", "epoch", "checkpoint", "end"]
EVENTS: tuple[Event, ...] = ("begin", "step", "epoch", "checkpoint", "end")


def chosen_optimizer(optimizer: str | Optimizer, options: Mapping[str, Any] | None) -> Any:
    """Give an optimizer, or make the one that has a name."""
    if not isinstance(optimizer, str):
        if options is not None:
            raise KoubaiError(
                f"Trainer: optimizer_param goes with an optimizer's name, but {optimizer!r} is one."
            )
        return optimizer
    kinds = {name.lower(): getattr(optimizers, name) for name in _OPTIMIZERS}
    kind = kinds.get(optimizer.lower())
    if kind is None:
        raise KoubaiError(
            f"Trainer: there is no optimizer {optimizer!r}; there are {', '.join(_OPTIMIZERS)}."
        )
    return kind(**({"lr": 0.01} if options is None else options))


_OPTIMIZERS = ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam", "AdamW")


def listeners(callbacks: Mapping[str, Any] | None) -> dict[Event, list[Callable[..., Any]]]:
    """Give the functions to be called after each event."""
    found: dict[Event, list[Callable[..., Any]]] = {event: [] for event in EVENTS}
    for event, functions in (callbacks or {}).items():
        if event not in found:
            raise KoubaiError(
                f"Trainer: there is no event {event!r}; there are {', '.join(EVENTS)}."
            )
        found[event] += [functions] if callable(functions) else list(functions)
    return found


def at_least(name: str, value: int, least: int) -> int:
    """Give a whole number back, having seen that it is one and not too small."""
    if value < least or not isinstance(value, (int, np.integer)):
        raise KoubaiError(f"Trainer: {name} is {value!r}, but a whole number from {least} on.")
    return value
