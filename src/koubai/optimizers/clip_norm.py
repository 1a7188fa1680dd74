"""Gradient clipping by the norm of all gradients together."""

from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import ClassVar

from koubai.arrays import shared_namespace
from koubai.optimizers.arguments import number
from koubai.optimizers.contract import Optimizer, Parameters
from koubai.optimizers.wrapper import Wrapper
from koubai.typing import Array

__all__ = ["ClipNorm"]


class ClipNorm(Wrapper):
    """
    Shorten the gradient where it is longer than max_norm; its direction stays.

    The length is that of all gradients joined into one vector: Pascanu, Mikolov and
    Bengio (2013, https://proceedings.mlr.press/v28/pascanu13.html), Algorithm 1.

    Parameters
    ----------
    optimizer : Optimizer
        What takes the step.
    max_norm : float
        The largest length, more than 0.

    Raises
    ------
    OptimizerError
        If the length is not positive, or the optimizer is none.

    Examples
    --------
    >>> import numpy as np
    >>> from koubai.optimizers import SGD
    >>> params = {"W": np.asarray([0.0]), "b": np.asarray([0.0])}
    >>> grads = {"W": np.asarray([30.0]), "b": np.asarray([-40.0])}
    >>> ClipNorm(SGD(lr=1.0), 5.0).update(params, grads)
    >>> params
    {'W': array([-3.]), 'b': array([4.])}
    """

    numbers: ClassVar[tuple[str, ...]] = ("max_norm",)

    def __init__(self, optimizer: Optimizer, max_norm: float) -> None:
        super().__init__(optimizer)
        self.max_norm = number("ClipNorm", "max_norm", max_norm, open_=True)

    def changed(self, params: Parameters, grads: Mapping[str, Array]) -> dict[str, Array]:
        """Give the gradients, of a joint length of max_norm at most."""
        used = {key: grads[key] for key in params}
        if not used:
            return used
        xp = shared_namespace("ClipNorm", used)
        norm = xp.sqrt(reduce(add, (xp.sum(g * g) for g in used.values())))
        # Never divided by zero: a norm below max_norm counts as max_norm.
        factor = self.max_norm / xp.where(norm > self.max_norm, norm, self.max_norm)
        return {key: g * xp.astype(xp.asarray(factor), g.dtype) for key, g in used.items()}
