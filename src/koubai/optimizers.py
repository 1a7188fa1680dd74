"""Optimizers: what a gradient does to a parameter (the book, chapter 6.1)."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from koubai.arrays import shared_namespace
from koubai.typing import Array

__all__ = ["SGD", "Momentum", "Optimizer", "Parameters"]


class Parameters(Protocol):
    """What an optimizer changes: the parameters by name, as ``network.params`` gives them."""

    def __iter__(self) -> Iterator[str]: ...
    def __getitem__(self, key: str, /) -> Array: ...
    def __setitem__(self, key: str, value: Array, /) -> None: ...


class Optimizer(Protocol):
    """
    What `koubai.compile_step` asks of an optimizer.

    Its numbers and arrays are attributes, or lie in dicts and lists that are attributes;
    a compiled step takes them as they are at each step, and puts the new ones there.
    """

    def update(self, params: Parameters, grads: Mapping[str, Array], /) -> None:
        """Change the parameters by their gradients."""


class SGD:
    """
    Stochastic gradient descent, W <- W - lr dW (the book, section 6.1.2).

    Parameters
    ----------
    lr : float
        The learning rate; it may be changed between steps.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"W": np.asarray([1.0, 2.0])}
    >>> SGD(lr=0.5).update(params, {"W": np.asarray([2.0, -2.0])})
    >>> params["W"]
    array([0., 3.])
    """

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    def __repr__(self) -> str:
        return f"SGD(lr={self.lr})"

    def update(self, params: Parameters, grads: Mapping[str, Array]) -> None:
        """
        Change the parameters: in place where arrays can be written.

        Parameters
        ----------
        params : mapping of str to Array
            The parameters, such as ``network.params``.
        grads : mapping of str to Array
            For every parameter an array of its shape.
        """
        for key in params:
            params[key] -= self.lr * grads[key]


class Momentum:
    """
    Gradient descent with momentum, v <- momentum v - lr dW, W <- W + v (section 6.1.4).

    Parameters
    ----------
    lr : float
        The learning rate.
    momentum : float
        What remains of the velocity in each step.

    Attributes
    ----------
    v : dict of str to Array, or None
        The velocities by the names of the parameters; None before the first step.

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

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr = lr
        self.momentum = momentum
        self.v: dict[str, Array] | None = None

    def __repr__(self) -> str:
        return f"Momentum(lr={self.lr}, momentum={self.momentum})"

    def update(self, params: Parameters, grads: Mapping[str, Array]) -> None:
        """
        Change velocities and parameters.

        Parameters
        ----------
        params : mapping of str to Array
            The parameters, such as ``network.params``.
        grads : mapping of str to Array
            For every parameter an array of its shape.
        """
        if self.v is None:
            self.v = {key: _zeros_like(params[key]) for key in params}
        for key in params:
            self.v[key] = self.momentum * self.v[key] - self.lr * grads[key]
            params[key] += self.v[key]


def _zeros_like(array: Array) -> Array:
    return shared_namespace("Momentum", {"parameter": array}).zeros_like(array)
