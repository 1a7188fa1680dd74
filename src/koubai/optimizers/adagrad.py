"""AdaGrad (the book, section 6.1.5)."""

from collections.abc import Mapping
from typing import ClassVar

from koubai.arrays import shared_namespace
from koubai.optimizers.arguments import number
from koubai.optimizers.contract import Parameters
from koubai.optimizers.rule import Rule
from koubai.typing import Array

__all__ = ["AdaGrad"]


class AdaGrad(Rule):
    """
    A rate of its own for every element: h <- h + dW^2, W <- W - lr dW / (sqrt(h) + eps).

    Duchi, Hazan and Singer (2011, https://jmlr.org/papers/v12/duchi11a.html); the book,
    section 6.1.5.

    Parameters
    ----------
    lr : float
        The learning rate.
    eps : float
        What keeps the quotient finite: the book's 1e-7. PyTorch's is 1e-10.

    Attributes
    ----------
    h : dict of str to Array, or None
        The sums of squares by the names of the parameters; None before the first step.

    Raises
    ------
    OptimizerError
        If a number is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"W": np.asarray([1.0, 1.0])}
    >>> AdaGrad(lr=0.5).update(params, {"W": np.asarray([2.0, -200.0])})
    >>> params["W"].round(6)
    array([0.5, 1.5])
    """

    numbers: ClassVar[tuple[str, ...]] = ("lr", "eps")
    arrays: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(self, lr: float = 0.01, *, eps: float = 1e-7) -> None:
        self.lr = number("AdaGrad", "lr", lr)
        self.eps = number("AdaGrad", "eps", eps)
        self.h: dict[str, Array] | None = None

    def apply(self, params: Parameters, grads: Mapping[str, Array]) -> None:
        """Change sums and parameters; parameters as for `update`."""
        for key in params:
            g = grads[key]
            xp = shared_namespace("AdaGrad", {"the gradient": g, key: params[key]})
            h = self.remembered("h", key, params[key]) + g * g
            params[key] -= self.lr * g / (xp.sqrt(h) + self.eps)
            self.remember("h", key, h)
