"""RMSprop (the book's code of chapter 6)."""

from collections.abc import Mapping
from typing import ClassVar

from koubai.arrays import shared_namespace
from koubai.optimizers.arguments import number
from koubai.optimizers.contract import Parameters
from koubai.optimizers.rule import Rule
from koubai.typing import Array

__all__ = ["RMSprop"]


class RMSprop(Rule):
    """
    AdaGrad that forgets: h <- d h + (1 - d) dW^2, W <- W - lr dW / (sqrt(h) + eps).

    Tieleman and Hinton (2012, https://www.cs.toronto.edu/~tijmen/csc321/slides/
    lecture_slides_lec6.pdf, slide 29).

    Parameters
    ----------
    lr : float
        The learning rate.
    decay_rate : float
        d: what remains of the mean square in each step, from 0 to less than 1.
    eps : float
        What keeps the quotient finite: the book's 1e-7. PyTorch's is 1e-8.

    Attributes
    ----------
    h : dict of str to Array, or None
        The mean squares by the names of the parameters; None before the first step.
    share : float
        1 - decay_rate, in the last step.

    Raises
    ------
    OptimizerError
        If a number is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"W": np.asarray([1.0, 1.0])}
    >>> RMSprop(lr=0.5, decay_rate=0.75).update(params, {"W": np.asarray([2.0, -200.0])})
    >>> params["W"].round(6)
    array([0., 2.])
    """

    numbers: ClassVar[tuple[str, ...]] = ("lr", "decay_rate", "eps")
    arrays: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99, *, eps: float = 1e-7) -> None:
        self.lr = number("RMSprop", "lr", lr)
        self.decay_rate = number("RMSprop", "decay_rate", decay_rate, below=1.0)
        self.eps = number("RMSprop", "eps", eps)
        self.share = 0.0
        self.h: dict[str, Array] | None = None

    def advance(self) -> None:
        """Take 1 - decay_rate on the host, where it keeps all its digits."""
        self.share = 1.0 - self.decay_rate

    def apply(self, params: Parameters, grads: Mapping[str, Array]) -> None:
        """Change mean squares and parameters; parameters as for `update`."""
        for key in params:
            g = grads[key]
            xp = shared_namespace("RMSprop", {"the gradient": g, key: params[key]})
            h = self.remembered("h", key, params[key])
            h = h + self.share * (g * g - h)
            params[key] -= self.lr * g / (xp.sqrt(h) + self.eps)
            self.remember("h", key, h)
