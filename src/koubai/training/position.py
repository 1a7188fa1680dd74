"""Where a run through batches stands, and what each batch goes through: common to all of them."""

from collections.abc import Callable, Iterator, Mapping
from operator import index
from typing import Any, Protocol, TypeAlias, cast

import numpy as np

from koubai.arrays import describe
from koubai.errors import KoubaiError
from koubai.typing import Array

__all__ = ["BatchSource", "Rng", "State", "Transform", "pair", "take_in", "transformed", "whole"]

Rng: TypeAlias = int | np.random.Generator | None
State: TypeAlias = dict[str, Any]
Transform: TypeAlias = Callable[[Array, Array], tuple[Array, Array]]


class BatchSource(Protocol):
    """
    What a training loop asks of its batches: epochs, and a place to go on from.

    `Batches`, `StreamBatches` and `Prefetch` are such.
    """

    @property
    def epoch(self) -> int:
        """The number of the epoch, from 0."""

    @property
    def position(self) -> int:
        """How many batches of the epoch have been handed out."""

    def __iter__(self) -> Iterator[tuple[Array, Array]]: ...

    def state_dict(self) -> State:
        """Tell where the batches stand, in what JSON can hold."""

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Go on where other batches stood."""


def whole(owner: str, name: str, value: object) -> int:
    """See that an option is a whole number of at least 1."""
    try:
        found = index(cast(int, value))
    except TypeError:
        found = 0
    if found < 1:
        raise KoubaiError(f"{owner}: {name} is {value!r}, but a whole number from 1 is wanted.")
    return found


def pair(owner: str, found: object) -> tuple[Array, Array]:
    """See that something is a batch (x, t)."""
    if isinstance(found, (tuple, list)) and len(found) == 2:
        x, t = found
        if all(getattr(array, "shape", ()) for array in (x, t)) and x.shape[0] == t.shape[0] > 0:
            return x, t
        what = f"({describe(x)}, {describe(t)})"
    else:
        what = describe(found)
        if isinstance(found, (tuple, list)):
            what += f" of {len(found)}"
    raise KoubaiError(
        f"{owner}: a batch is a pair (x, t) of arrays with the same number of samples along their "
        f"first axis, at least one; found {what}."
    )


def transformed(owner: str, transform: Transform | None, x: Array, t: Array) -> tuple[Array, Array]:
    """Send a batch through the user's function, if there is one."""
    return (x, t) if transform is None else pair(f"{owner}: transform", transform(x, t))


def take_in(
    owner: str, state: Mapping[str, Any], way: Mapping[str, Any], keys: tuple[str, ...], most: int
) -> tuple[int, ...]:
    """Give the integers of a state, after seeing that it is one of the same data and options."""
    missing = sorted({*way, *keys} - set(state))
    if missing:
        raise KoubaiError(
            f"{owner}.load_state_dict: the state has no {', '.join(missing)}. Wanted is what "
            f"{owner}.state_dict() gave."
        )
    for key, value in way.items():
        if state[key] != value:
            raise KoubaiError(
                f"{owner}.load_state_dict: the state has {key} {state[key]!r}, but these batches "
                f"have {value!r}, so that they cannot go on with it. Make them of the same data in "
                "the same way, or begin anew without the state."
            )
    place = tuple(state[key] for key in keys)
    if any(type(value) is not int or value < 0 for value in place) or 0 <= most < place[-1]:
        raise KoubaiError(
            f"{owner}.load_state_dict: {dict(zip(keys, place, strict=True))} is no place; integers "
            "from 0 are wanted, and a position within the epoch."
        )
    return place
