"""The matrix product by itself, of two inputs."""

import numpy as np

from koubai.errors import ShapeError
from koubai.functions import sum_to_shape
from koubai.layers.base import Layer
from koubai.typing import Array, Namespace

__all__ = ["MatMul"]


class MatMul(Layer):
    """
    The matrix product x y.

    Attributes
    ----------
    x, y : Array
        The factors, kept for ``backward``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = MatMul()
    >>> layer.forward(np.asarray([[1.0, 2.0]]), np.asarray([[3.0], [4.0]]))
    array([[11.]])
    >>> dx, dy = layer.backward(np.ones((1, 1)))
    >>> dx
    array([[3., 4.]])
    """

    def forward(self, x: Array, y: Array) -> Array:
        """
        Multiply.

        Parameters
        ----------
        x : Array, shape (..., N, K) or (K,)
            The left factor.
        y : Array, shape (..., K, M) or (K,)
            The right factor; the axes before the last two broadcast.

        Returns
        -------
        Array, shape (..., N, M)
            The product; a vector's own axis is gone, as in the Array API standard.

        Raises
        ------
        ShapeError
            If the shapes do not go together.
        """
        xp = self.namespace(x=x, y=y)
        self.require_floating(xp, "x", x)
        self.require_floating(xp, "y", y)
        if 0 in {x.ndim, y.ndim} or x.shape[-1] != y.shape[-2:][0]:
            raise ShapeError(
                f"MatMul: x has the shape {tuple(x.shape)} and y {tuple(y.shape)}; "
                "(..., N, K) and (..., K, M) are wanted."
            )
        try:
            np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        except ValueError as error:
            raise ShapeError(
                f"MatMul: x has the shape {tuple(x.shape)} and y {tuple(y.shape)}; the axes before "
                "the last two do not broadcast together."
            ) from error
        self.x = x
        self.y = y
        product = xp.matmul(x, y)
        self.shape = tuple(product.shape)
        return product

    def backward(self, dout: Array) -> tuple[Array, Array]:
        """
        Give dx = dout y.T and dy = x.T dout.

        Parameters
        ----------
        dout : Array, shape of the product
            The gradient that comes from behind.

        Returns
        -------
        dx, dy : Array
            Gradients of the shapes of x and y.
        """
        xp = self.namespace(dout=dout, x=self.x, y=self.y)
        self.require_shape("dout", dout, self.shape)
        # A vector is a matrix of one row on the left, of one column on the right.
        x = xp.reshape(self.x, (1, -1)) if self.x.ndim == 1 else self.x
        y = xp.reshape(self.y, (-1, 1)) if self.y.ndim == 1 else self.y
        rows = self.shape[: len(self.shape) - (self.y.ndim > 1) - (self.x.ndim > 1)]
        d = xp.reshape(dout, (*rows, x.shape[-2], y.shape[-1]))
        dx = sum_to_shape(xp.matmul(d, _turned(xp, y)), x.shape)
        dy = sum_to_shape(xp.matmul(_turned(xp, x), d), y.shape)
        return xp.reshape(dx, self.x.shape), xp.reshape(dy, self.y.shape)


def _turned(xp: Namespace, x: Array) -> Array:
    """Swap the last two axes."""
    lead = tuple(range(x.ndim - 2))
    return xp.permute_dims(x, (*lead, x.ndim - 1, x.ndim - 2))
