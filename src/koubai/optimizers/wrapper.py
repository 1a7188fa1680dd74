"""Wrapper: an optimizer around another one, which changes what that one is given."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from koubai.optimizers.arguments import require_optimizer
from koubai.optimizers.contract import Optimizer, Parameters, advance, apply
from koubai.optimizers.rule import Rule
from koubai.typing import Array

__all__ = ["Wrapper"]


class Wrapper(Rule):
    """
    The base of optimizers that change the gradients, and let another one take the step.

    A subclass writes ``changed(params, grads)``. Wrappers may stand around wrappers; the
    outermost changes the gradients first.

    Parameters
    ----------
    optimizer : Optimizer
        Any object with ``update(params, grads)``.

    Attributes
    ----------
    optimizer : Optimizer
        The optimizer within.
    lr : float
        The learning rate of the innermost one.
    """

    numbers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, optimizer: Optimizer) -> None:
        require_optimizer(type(self).__name__, optimizer)
        self.optimizer: Any = optimizer

    def __repr__(self) -> str:
        own = "".join(f", {name}={getattr(self, name)}" for name in self.numbers)
        return f"{type(self).__name__}({self.optimizer!r}{own})"

    @property
    def lr(self) -> float:
        """The learning rate of the optimizer within."""
        rate: float = self.optimizer.lr
        return rate

    @lr.setter
    def lr(self, rate: float) -> None:
        self.optimizer.lr = rate

    def advance(self) -> None:
        """Let the optimizer within count its step, if it does."""
        advance(self.optimizer)

    def apply(self, params: Parameters, grads: Mapping[str, Array]) -> None:
        """Change the gradients, and let the optimizer within take the step."""
        apply(self.optimizer, params, self.changed(params, grads))

    @abstractmethod
    def changed(self, params: Parameters, grads: Mapping[str, Array]) -> Mapping[str, Array]:
        """Give the gradients that the optimizer within is to use."""
