"""Weight decay: the gradient of a penalty on large weights (the book, section 6.4.2)."""

from collections.abc import Mapping
from typing import ClassVar

from koubai.optimizers.arguments import number
from koubai.optimizers.contract import Optimizer, Parameters
from koubai.optimizers.wrapper import Wrapper
from koubai.typing import Array

__all__ = ["WeightDecay"]


class WeightDecay(Wrapper):
    """
    Add rate W to the gradient: that of the penalty rate sum(W^2) / 2 on the loss.

    With SGD that shrinks weights by lr rate in each step. With Adam and the like it goes
    through their quotient; `AdamW` shrinks the weights themselves.

    Parameters
    ----------
    optimizer : Optimizer
        What takes the step.
    rate : float
        The book's ``weight_decay_lambda``.
    prefix : str
        Only parameters whose names begin so decay: "W" as in the book. By default all,
        as in PyTorch.

    Raises
    ------
    OptimizerError
        If the rate is negative, or the optimizer is none.

    Examples
    --------
    >>> import numpy as np
    >>> from koubai.optimizers import SGD
    >>> params = {"W1": np.asarray([1.0]), "b1": np.asarray([1.0])}
    >>> grads = {"W1": np.asarray([0.0]), "b1": np.asarray([0.0])}
    >>> WeightDecay(SGD(lr=0.5), 0.1, prefix="W").update(params, grads)
    >>> params
    {'W1': array([0.95]), 'b1': array([1.])}
    """

    numbers: ClassVar[tuple[str, ...]] = ("rate",)

    def __init__(self, optimizer: Optimizer, rate: float, *, prefix: str = "") -> None:
        super().__init__(optimizer)
        self.rate = number("WeightDecay", "rate", rate)
        self.prefix = prefix

    def changed(self, params: Parameters, grads: Mapping[str, Array]) -> dict[str, Array]:
        """Give the gradients with those of the penalty."""
        return {
            key: grads[key] + self.rate * params[key] if key.startswith(self.prefix) else grads[key]
            for key in params
        }
