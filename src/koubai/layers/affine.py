"""The affine layer: a matrix product and a bias (the book, section 5.6)."""

from math import prod
from typing import ClassVar

from koubai.errors import ShapeError
from koubai.layers.base import Layer
from koubai.typing import Array, Shape

__all__ = ["Affine"]


class Affine(Layer):
    """
    The affine map y = x W + b of a batch.

    Parameters
    ----------
    W : Array, shape (D, M), floating point
        Weights; used as they are, never copied.
    b : Array, shape (M,)
        Biases.

    Attributes
    ----------
    x : Array, shape (N, D)
        The input, flattened to one row a sample; kept for ``backward``.
    dW : Array, shape (D, M)
        The gradient of W, after ``backward``.
    db : Array, shape (M,)
        The gradient of b, after ``backward``.

    Raises
    ------
    ShapeError
        If W is no matrix, or b does not fit it.
    MixedArraysError
        If W and b are of different libraries or devices.

    Examples
    --------
    >>> import numpy as np
    >>> affine = Affine(np.ones((2, 3)), np.asarray([1.0, 2.0, 3.0]))
    >>> affine.forward(np.asarray([[0.0, 0.0], [5.0, 5.0]]))
    array([[ 1.,  2.,  3.],
           [11., 12., 13.]])
    >>> affine.backward(np.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    array([[ 6.,  6.],
           [15., 15.]])
    >>> affine.db
    array([5., 7., 9.])
    """

    parameters: ClassVar[tuple[str, ...]] = ("W", "b")

    def __init__(self, W: Array, b: Array) -> None:
        xp = self.namespace(b=b, W=W)
        self.require_floating(xp, "W", W)
        self.require_floating(xp, "b", b)
        if W.ndim != 2 or b.shape != W.shape[1:]:
            raise ShapeError(
                f"Affine: W has the shape {tuple(W.shape)} and b {tuple(b.shape)}; "
                "(D, M) and (M,) are wanted."
            )
        self.W = W
        self.b = b

    def forward(self, x: Array) -> Array:
        """
        Compute x W + b.

        Parameters
        ----------
        x : Array, shape (N, D), (N, ...) with D elements a sample, or (D,)
            A batch, or one sample.

        Returns
        -------
        Array, shape (N, M) or (M,)
            The outputs.

        Raises
        ------
        ShapeError
            If a sample does not have D elements.
        DTypeError
            If x is not floating point.
        """
        xp = self.namespace(x=x, W=self.W, b=self.b)
        self.require_floating(xp, "x", x)
        rows = self._rows(x.shape)
        self.x = x if x.shape == rows else xp.reshape(x, rows)
        self.x_shape = x.shape
        self.y_shape = x.shape[:1] + self.b.shape if x.ndim > 1 else self.b.shape
        y = xp.matmul(self.x, self.W) + self.b
        return y if y.shape == self.y_shape else xp.reshape(y, self.y_shape)

    def backward(self, dout: Array) -> Array:
        """
        Compute dW = x.T dout, db = the sum of dout over the batch, dx = dout W.T.

        Parameters
        ----------
        dout : Array, shape (N, M) or (M,)
            The gradient that comes from behind.

        Returns
        -------
        Array
            dx, of the shape of x.
        """
        self.backward_parameters(dout)
        xp = self.namespace(dout=dout, W=self.W)
        dx = xp.matmul(dout, self.W.T)
        return dx if dx.shape == self.x_shape else xp.reshape(dx, self.x_shape)

    def backward_parameters(self, dout: Array) -> None:
        """
        Compute dW and db alone, where nobody asks for the gradient of the input.

        Parameters
        ----------
        dout : Array, shape (N, M) or (M,)
            The gradient that comes from behind.
        """
        xp = self.namespace(dout=dout, x=self.x)
        self.require_shape("dout", dout, self.y_shape)
        d = dout if dout.ndim == 2 else xp.reshape(dout, (1, *self.y_shape))
        self.dW = xp.matmul(self.x.T, d)
        self.db = xp.sum(d, axis=0)

    def _rows(self, shape: Shape) -> Shape:
        """Give (N, D) for the shape of a batch or of one sample."""
        n, sample = (shape[0], shape[1:]) if len(shape) > 1 else (1, shape)
        if not shape or prod(sample) != self.W.shape[0]:
            raise ShapeError(
                f"Affine: x has the shape {tuple(shape)}, but W {tuple(self.W.shape)} wants "
                f"{self.W.shape[0]} elements a sample: shape (N, {self.W.shape[0]})."
            )
        return n, self.W.shape[0]
