"""Stochastic gradient descent (the book, section 6.1.2)."""

from collections.abc import Mapping

from koubai.optimizers.arguments import number
from koubai.optimizers.contract import Parameters
from koubai.optimizers.rule import Rule
from koubai.typing import Array

__all__ = ["SGD"]


class SGD(Rule):
    """
    Stochastic gradient descent, W <- W - lr dW (the book, section 6.1.2).

    Parameters
    ----------
    lr : float
        The learning rate; it may be changed between steps.

    Raises
    ------
    OptimizerError
        If the rate is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"W": np.asarray([1.0, 2.0])}
    >>> SGD(lr=0.5).update(params, {"W": np.asarray([2.0, -2.0])})
    >>> params["W"]
    array([0., 3.])
    """

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = number("SGD", "lr", lr)

    def apply(self, params: Parameters, grads: Mapping[str, Array]) -> None:
        """Take the gradient times the rate away; parameters as for `update`."""
        for key in params:
            params[key] -= self.lr * grads[key]
