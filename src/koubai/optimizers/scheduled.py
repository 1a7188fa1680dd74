"""Scheduled: an optimizer whose learning rate follows a schedule."""

from collections.abc import Mapping
from typing import ClassVar

from koubai.errors import OptimizerError
from koubai.optimizers.arguments import number
from koubai.optimizers.contract import Optimizer, Parameters
from koubai.optimizers.schedules import Schedule
from koubai.optimizers.wrapper import Wrapper
from koubai.typing import Array

__all__ = ["Scheduled"]


class Scheduled(Wrapper):
    """
    Set the learning rate of an optimizer before every step.

    Parameters
    ----------
    optimizer : Optimizer
        What takes the step; it has the attribute ``lr``.
    schedule : callable
        Gives the learning rate of a step, which is counted from 0;
        `koubai.optimizers.schedules` has some.

    Attributes
    ----------
    iter : int
        How many steps were taken.
    lr : float
        The learning rate of the last step.

    Raises
    ------
    OptimizerError
        If the optimizer has no ``lr``, or the schedule gives no rate.

    Examples
    --------
    >>> import numpy as np
    >>> from koubai.optimizers import SGD, schedules
    >>> optimizer = Scheduled(SGD(), schedules.step(1.0, every=2, factor=0.5))
    >>> params, rates = {"W": np.asarray([0.0])}, []
    >>> for _ in range(5):
    ...     optimizer.update(params, {"W": np.asarray([1.0])})
    ...     rates.append(optimizer.lr)
    >>> rates, params["W"]
    ([1.0, 1.0, 0.5, 0.5, 0.25], array([-3.25]))
    """

    numbers: ClassVar[tuple[str, ...]] = ("iter",)

    def __init__(self, optimizer: Optimizer, schedule: Schedule) -> None:
        super().__init__(optimizer)
        if not (hasattr(optimizer, "lr") and callable(schedule)):
            raise OptimizerError(
                f"Scheduled: an optimizer with an lr and a function of the step are wanted, but "
                f"{optimizer!r} and {schedule!r} were given. "
                "Scheduled(koubai.SGD(), schedules.cosine(0.1, steps=1000)) is one."
            )
        self.schedule = schedule
        self.iter = 0
        self.optimizer.lr = self._rate()

    def __repr__(self) -> str:
        return f"Scheduled({self.optimizer!r}, {self.schedule!r})"

    @property
    def lr(self) -> float:
        """The learning rate of the last step."""
        rate: float = self.optimizer.lr
        return rate

    @lr.setter
    def lr(self, rate: float) -> None:
        raise OptimizerError(
            f"Scheduled: the schedule sets the learning rate, and would set lr = {rate!r} back at "
            "the next step. Exchange optimizer.schedule."
        )

    def advance(self) -> None:
        """Count the step, and set its learning rate."""
        self.optimizer.lr = self._rate()
        self.iter += 1
        super().advance()

    def changed(self, params: Parameters, grads: Mapping[str, Array]) -> Mapping[str, Array]:
        """Give the gradients as they are."""
        del params
        return grads

    def _rate(self) -> float:
        rate: float = number("Scheduled", f"schedule({self.iter})", self.schedule(self.iter))
        return rate
