"""
Schedules: the learning rate as a function of the step, counted from 0.

Any function of the step that gives a number is a schedule. These can be compared and
pickled, tell what they are, and go into each other.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from typing import TypeAlias

from koubai.optimizers.arguments import number, whole_number

__all__ = ["Schedule", "constant", "cosine", "step", "warm_up"]

Schedule: TypeAlias = Callable[[int], float]
"""A function of the number of the step."""


class _Named(ABC):
    """A schedule whose class bears the name of a function, as it is called like one."""

    @abstractmethod
    def __call__(self, i: int) -> float:
        """Give the learning rate of step i."""


@dataclass(frozen=True)
class constant(_Named):  # noqa: N801
    """
    The same rate at every step.

    Parameters
    ----------
    lr : float
        The rate.

    Examples
    --------
    >>> constant(0.1)(1000)
    0.1
    """

    lr: float

    def __post_init__(self) -> None:
        number("constant", "lr", self.lr)

    def __call__(self, i: int) -> float:
        """Give the learning rate of step i."""
        del i
        return self.lr


@dataclass(frozen=True)
class step(_Named):  # noqa: N801
    """
    A rate that is multiplied by a factor every so many steps: lr factor^(i // every).

    Parameters
    ----------
    lr : float
        The rate of the first steps.
    every : int
        How many steps it lasts.
    factor : float
        What it is multiplied by then.

    Examples
    --------
    >>> schedule = step(0.5, every=10, factor=0.5)
    >>> [schedule(i) for i in (0, 9, 10, 20)]
    [0.5, 0.5, 0.25, 0.125]
    """

    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        number("step", "lr", self.lr)
        number("step", "factor", self.factor)
        whole_number("step", "every", self.every, least=1)

    def __call__(self, i: int) -> float:
        """Give the learning rate of step i."""
        return self.lr * self.factor ** (i // self.every)


@dataclass(frozen=True)
class cosine(_Named):  # noqa: N801
    """
    Half a wave from one rate down to another, which stays.

    end + (lr - end) (1 + cos(pi i / steps)) / 2, Loshchilov and Hutter (2017,
    https://arxiv.org/abs/1608.03983), without restarts.

    Parameters
    ----------
    lr : float
        The rate of step 0.
    steps : int
        How many steps it takes.
    end : float
        The rate from then on.

    Examples
    --------
    >>> schedule = cosine(1.0, steps=100)
    >>> [round(schedule(i), 6) for i in (0, 25, 50, 100, 200)]
    [1.0, 0.853553, 0.5, 0.0, 0.0]
    """

    lr: float
    steps: int
    end: float = 0.0

    def __post_init__(self) -> None:
        number("cosine", "lr", self.lr)
        number("cosine", "end", self.end)
        whole_number("cosine", "steps", self.steps, least=1)

    def __call__(self, i: int) -> float:
        """Give the learning rate of step i."""
        part = min(i, self.steps) / self.steps
        return self.end + (self.lr - self.end) * (1.0 + cos(pi * part)) / 2.0


@dataclass(frozen=True)
class warm_up(_Named):  # noqa: N801
    """
    A rate that grows in a straight line to the first one of another schedule, then that one.

    Step i of the first ``steps`` has the rate then(0) (i + 1) / (steps + 1), so that
    none is zero (Goyal et al. 2017, https://arxiv.org/abs/1706.02677, section 2.2).

    Parameters
    ----------
    steps : int
        How many steps it takes.
    then : Schedule
        What comes after them; its step 0 is step ``steps``.

    Examples
    --------
    >>> schedule = warm_up(3, then=step(0.8, every=2, factor=0.5))
    >>> [round(schedule(i), 6) for i in range(7)]
    [0.2, 0.4, 0.6, 0.8, 0.8, 0.4, 0.4]
    """

    steps: int
    then: Schedule

    def __post_init__(self) -> None:
        whole_number("warm_up", "steps", self.steps)
        number("warm_up", "then(0)", self.then(0))

    def __call__(self, i: int) -> float:
        """Give the learning rate of step i."""
        if i < self.steps:
            return self.then(0) * (i + 1) / (self.steps + 1)
        return self.then(i - self.steps)
