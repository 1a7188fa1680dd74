"""The layers that end a network: outputs and targets in, one loss out."""

from abc import ABC, abstractmethod
from typing import ClassVar

from koubai.labels import count_samples, one_hot
from koubai.layers.base import Layer
from koubai.typing import Array, Value

__all__ = ["IdentityWithLoss", "LossLayer", "SoftmaxWithLoss"]


class LossLayer(Layer, ABC):
    """
    The base of the layers that end a network.

    Attributes
    ----------
    classifies : bool
        Whether the targets are class labels, so that an accuracy has a meaning.
    loss : Array, shape ()
        The last loss.
    y : Array
        The last outputs: probabilities, or for a regression the values themselves.
    t : Array, shape of y
        The last targets; class indices have become one-hot rows.
    n : int
        The number of samples of the last batch.
    """

    classifies: ClassVar[bool]
    loss: Array
    y: Array
    t: Array
    n: int

    @abstractmethod
    def forward(self, x: Array, t: Array) -> Array:
        """Give the loss, averaged over the batch."""

    def backward(self, dout: Value = 1) -> Array:
        """
        Give the gradient of the loss: (y - t) / N * dout.

        Parameters
        ----------
        dout : float or Array of shape ()
            The gradient that comes from behind; 1 where the loss is the end.

        Returns
        -------
        Array, shape of x
            The gradient of x. Targets have none.
        """
        xp = self.namespace(dout=dout, y=self.y)
        self.require_shape("dout", dout, ())
        if getattr(dout, "dtype", self.y.dtype) != self.y.dtype:
            dout = xp.astype(xp.asarray(dout), self.y.dtype)
        return (self.y - self.t) / self.n * dout


class SoftmaxWithLoss(LossLayer):
    """
    Softmax and cross entropy in one, for classification (the book, section 5.6.3).

    The loss is -sum(t log softmax(x)) / N, computed from log-softmax, so that loss and
    gradient agree at any score; the book's log(y + 1e-7) stops at 16.118.

    Examples
    --------
    >>> import numpy as np
    >>> layer = SoftmaxWithLoss()
    >>> float(layer.forward(np.asarray([[0.0, 0.0]]), np.asarray([1])))
    0.6931471805599453
    >>> layer.backward()
    array([[ 0.5, -0.5]])
    """

    classifies: ClassVar[bool] = True

    def forward(self, x: Array, t: Array) -> Array:
        """
        Give the mean cross entropy of softmax(x) and the labels.

        Parameters
        ----------
        x : Array, shape (N, C) or (C,), floating point
            Scores of C classes; a vector is one sample.
        t : Array, one-hot of shape (N, C) or (C,), or class indices of shape (N,) or ()
            Labels. Rows of probabilities that sum to 1 are labels too.

        Returns
        -------
        Array, shape ()
            The loss; NaN if a class index is out of range or a row does not sum to 1.

        Raises
        ------
        ShapeError
            If the shapes do not go together, or the batch is empty.
        DTypeError
            If x is not floating point, or class indices are not integers.
        """
        xp = self.namespace(t=t, x=x)
        self.require_floating(xp, "x", x)
        self.n = count_samples(type(self).__name__, x.shape)
        z = x - xp.max(x, axis=-1, keepdims=True)
        e = xp.exp(z)
        s = xp.sum(e, axis=-1, keepdims=True)
        self.y = e / s
        self.t = one_hot(t, x, type(self).__name__)
        # A score of minus infinity costs nothing where it is not the label's.
        self.loss = xp.sum(self.t * xp.where(self.t == 0, 0.0, xp.log(s) - z)) / self.n
        return self.loss


class IdentityWithLoss(LossLayer):
    """
    The identity and half the squared error in one, for regression.

    Examples
    --------
    >>> import numpy as np
    >>> layer = IdentityWithLoss()
    >>> float(layer.forward(np.asarray([[3.0], [1.0]]), np.asarray([[1.0], [1.0]])))
    1.0
    >>> layer.backward()
    array([[1.],
           [0.]])
    """

    classifies: ClassVar[bool] = False

    def forward(self, x: Array, t: Array) -> Array:
        """
        Give sum((x - t)^2) / (2 N).

        Parameters
        ----------
        x : Array, shape (N, ...) or (D,), floating point
            Outputs; a vector is one sample.
        t : Array, the same shape, floating point
            Targets.

        Returns
        -------
        Array, shape ()
            The loss.

        Raises
        ------
        ShapeError
            If the shapes differ, or the batch is empty.
        DTypeError
            If one is not floating point.
        """
        xp = self.namespace(t=t, x=x)
        self.require_floating(xp, "x", x)
        self.require_floating(xp, "t", t)
        self.require_shape("t", t, x.shape)
        count_samples(type(self).__name__, x.shape)
        self.n = x.shape[0] if x.ndim > 1 else 1
        self.y = x
        self.t = t
        error = x - t
        self.loss = 0.5 * xp.sum(error * error) / self.n
        return self.loss
