"""Adam and AdamW (the book, section 6.1.6)."""

from collections.abc import Mapping
from typing import ClassVar

from koubai.arrays import shared_namespace
from koubai.optimizers.arguments import number
from koubai.optimizers.contract import Parameters
from koubai.optimizers.rule import Rule
from koubai.typing import Array

__all__ = ["Adam", "AdamW"]


class Adam(Rule):
    """
    Momentum and RMSprop in one, corrected for their start from zero (section 6.1.6).

    With m <- beta1 m + (1 - beta1) dW and v <- beta2 v + (1 - beta2) dW^2, step t is
    W <- W - lr_t m / (sqrt(v) + eps_t), where
    lr_t = lr sqrt(1 - beta2^t) / (1 - beta1^t). Kingma and Ba (2014,
    https://arxiv.org/abs/1412.6980).

    Parameters
    ----------
    lr : float
        The learning rate.
    beta1, beta2 : float
        What remains of the means m and v in each step, from 0 to less than 1.
    eps : float, optional
        By default eps_t is 1e-7, as in the book: the form that the paper recommends at
        the end of its section 2. With a number it is that of the paper's Algorithm 1,
        added to the corrected root: eps_t = eps sqrt(1 - beta2^t). ``Adam(eps=1e-8)`` is
        PyTorch's.

    Attributes
    ----------
    iter : int
        How many steps were taken.
    m, v : dict of str to Array, or None
        The means of gradients and of their squares by the names of the parameters; None
        before the first step.
    lr_t, eps_t, share1, share2 : float
        The corrected numbers of the last step, 1 - beta1 and 1 - beta2.

    Raises
    ------
    OptimizerError
        If a number is out of its range.

    Examples
    --------
    The first step of every element is of the length lr:

    >>> import numpy as np
    >>> params = {"W": np.asarray([1.0, 1.0])}
    >>> adam = Adam(lr=0.5)
    >>> adam.update(params, {"W": np.asarray([2.0, -200.0])})
    >>> params["W"].round(5), adam.iter
    (array([0.5, 1.5]), 1)
    """

    numbers: ClassVar[tuple[str, ...]] = ("lr", "beta1", "beta2", "iter")
    arrays: ClassVar[tuple[str, ...]] = ("m", "v")

    def __init__(
        self,
        lr: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        *,
        eps: float | None = None,
    ) -> None:
        owner = type(self).__name__
        self.lr = number(owner, "lr", lr)
        self.beta1 = number(owner, "beta1", beta1, below=1.0)
        self.beta2 = number(owner, "beta2", beta2, below=1.0)
        self.eps = None if eps is None else number(owner, "eps", eps)
        self.iter = 0
        self.lr_t = self.eps_t = self.share1 = self.share2 = 0.0
        self.m: dict[str, Array] | None = None
        self.v: dict[str, Array] | None = None

    def __repr__(self) -> str:
        more = "" if self.eps is None else f", eps={self.eps}"
        return f"{super().__repr__()[:-1]}{more})"

    def advance(self) -> None:
        """Count the step, and correct its numbers."""
        self.iter += 1
        # In float32, as on a device, 1 - 0.999 would be wrong from the fifth digit on.
        self.share1, self.share2 = 1.0 - self.beta1, 1.0 - self.beta2
        root = (1.0 - self.beta2**self.iter) ** 0.5
        self.lr_t = self.lr * root / (1.0 - self.beta1**self.iter)
        self.eps_t = 1e-7 if self.eps is None else self.eps * root

    def apply(self, params: Parameters, grads: Mapping[str, Array]) -> None:
        """Change means and parameters; parameters as for `update`."""
        for key in params:
            g = grads[key]
            xp = shared_namespace(type(self).__name__, {"the gradient": g, key: params[key]})
            m, v = (self.remembered(name, key, params[key]) for name in ("m", "v"))
            m = m + self.share1 * (g - m)
            v = v + self.share2 * (g * g - v)
            params[key] -= self.lr_t * m / (xp.sqrt(v) + self.eps_t)
            self.remember("m", key, m)
            self.remember("v", key, v)


class AdamW(Adam):
    """
    Adam with decoupled weight decay: W <- W - lr weight_decay W, then the step of Adam.

    Loshchilov and Hutter (2019, https://arxiv.org/abs/1711.05101), with the decay
    multiplied by the learning rate, as PyTorch has it; its eps is that of Algorithm 1.

    Parameters
    ----------
    lr, beta1, beta2
        As for `Adam`.
    weight_decay : float
        How fast parameters shrink.
    eps : float
        Added to the corrected root.
    prefix : str
        Only parameters whose names begin so decay: "W" spares the biases.

    Raises
    ------
    OptimizerError
        If a number is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"W": np.asarray([1.0])}
    >>> AdamW(lr=0.5, weight_decay=0.1).update(params, {"W": np.asarray([0.0])})
    >>> params["W"]
    array([0.95])
    """

    numbers: ClassVar[tuple[str, ...]] = (*Adam.numbers, "weight_decay", "eps")

    def __init__(
        self,
        lr: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        weight_decay: float = 0.01,
        *,
        eps: float = 1e-8,
        prefix: str = "",
    ) -> None:
        super().__init__(lr, beta1, beta2, eps=eps)
        self.weight_decay = number("AdamW", "weight_decay", weight_decay)
        self.prefix = prefix

    def __repr__(self) -> str:
        return Rule.__repr__(self)

    def apply(self, params: Parameters, grads: Mapping[str, Array]) -> None:
        """Shrink the parameters, and change them as Adam does; parameters as for `update`."""
        for key in params:
            if key.startswith(self.prefix):
                params[key] *= 1.0 - self.lr * self.weight_decay
        super().apply(params, grads)
