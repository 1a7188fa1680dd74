"""Gradient descent with momentum, and with Nesterov's (the book, section 6.1.4)."""

from collections.abc import Mapping
from typing import ClassVar

from koubai.optimizers.arguments import number
from koubai.optimizers.contract import Parameters
from koubai.optimizers.rule import Rule
from koubai.typing import Array

__all__ = ["Momentum", "Nesterov"]


class Momentum(Rule):
    """
    Gradient descent with momentum, v <- momentum v - lr dW, W <- W + v (section 6.1.4).

    At a constant rate that is also PyTorch's, whose velocity is -v / lr.

    Parameters
    ----------
    lr : float
        The learning rate.
    momentum : float
        What remains of the velocity in each step, from 0 to less than 1.
    nesterov : bool
        Whether W <- W + momentum v - lr dW instead, with the new v: Nesterov's
        accelerated gradient as Sutskever et al. (2013,
        https://proceedings.mlr.press/v28/sutskever13.html) and Bengio et al. (2012,
        https://arxiv.org/abs/1212.0901, equation 7) write it, and PyTorch.

    Attributes
    ----------
    v : dict of str to Array, or None
        The velocities by the names of the parameters; None before the first step.

    Raises
    ------
    OptimizerError
        If a number is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> params, grads = {"W": np.asarray([1.0])}, {"W": np.asarray([2.0])}
    >>> momentum = Momentum(lr=0.5, momentum=0.5)
    >>> for _ in range(2):
    ...     momentum.update(params, grads)
    >>> params["W"], momentum.v["W"]
    (array([-1.5]), array([-1.5]))
    """

    numbers: ClassVar[tuple[str, ...]] = ("lr", "momentum")
    arrays: ClassVar[tuple[str, ...]] = ("v",)

    def __init__(self, lr: float = 0.01, momentum: float = 0.9, *, nesterov: bool = False) -> None:
        self.lr = number("Momentum", "lr", lr)
        self.momentum = number("Momentum", "momentum", momentum, below=1.0)
        self.nesterov = nesterov
        self.v: dict[str, Array] | None = None

    def __repr__(self) -> str:
        more = ", nesterov=True" if self.nesterov else ""
        return f"Momentum(lr={self.lr}, momentum={self.momentum}{more})"

    def apply(self, params: Parameters, grads: Mapping[str, Array]) -> None:
        """Change velocities and parameters; parameters as for `update`."""
        for key in params:
            step = self.lr * grads[key]
            v = self.momentum * self.remembered("v", key, params[key]) - step
            params[key] += self.momentum * v - step if self.nesterov else v
            self.remember("v", key, v)


class Nesterov(Rule):
    """
    The book's Nesterov: v <- momentum v - lr dW, W <- W + momentum^2 v - (1 + momentum) lr dW.

    These are the lines of the book's ``common/optimizer.py``. The paper that they name
    (Bengio et al. 2012, https://arxiv.org/abs/1212.0901) takes the velocity from before
    the step in the second formula; with the new one, as here, the first step is
    (1 + momentum + momentum^2) lr dW long instead of (1 + momentum) lr dW, and whenever
    the gradient turns it overshoots by more. ``Momentum(lr, momentum, nesterov=True)`` is
    the paper's, and PyTorch's.

    Parameters
    ----------
    lr : float
        The learning rate.
    momentum : float
        What remains of the velocity in each step, from 0 to less than 1.

    Attributes
    ----------
    v : dict of str to Array, or None
        The velocities by the names of the parameters; None before the first step.

    Raises
    ------
    OptimizerError
        If a number is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"W": np.asarray([1.0])}
    >>> Nesterov(lr=0.5, momentum=0.5).update(params, {"W": np.asarray([1.0])})
    >>> params["W"]
    array([0.125])
    """

    numbers: ClassVar[tuple[str, ...]] = ("lr", "momentum")
    arrays: ClassVar[tuple[str, ...]] = ("v",)

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = number("Nesterov", "lr", lr)
        self.momentum = number("Nesterov", "momentum", momentum, below=1.0)
        self.v: dict[str, Array] | None = None

    def apply(self, params: Parameters, grads: Mapping[str, Array]) -> None:
        """Change velocities and parameters; parameters as for `update`."""
        for key in params:
            step = self.lr * grads[key]
            v = self.momentum * self.remembered("v", key, params[key]) - step
            params[key] += self.momentum**2 * v - (1.0 + self.momentum) * step
            self.remember("v", key, v)
