"""The same elements in another shape or order."""

from math import prod

from koubai.errors import ShapeError
from koubai.layers.base import Layer
from koubai.typing import Array, Shape

__all__ = ["Reshape", "Transpose"]


class Reshape(Layer):
    """
    The same elements in another shape.

    Parameters
    ----------
    shape : tuple of int
        The new shape; one size may be -1, which is worked out.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Reshape((2, -1))
    >>> layer.forward(np.asarray([1.0, 2.0, 3.0, 4.0]))
    array([[1., 2.],
           [3., 4.]])
    >>> layer.backward(np.ones((2, 2)))
    array([1., 1., 1., 1.])
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        """
        Change the shape.

        Parameters
        ----------
        x : Array, any shape
            The input.

        Returns
        -------
        Array
            Of the new shape.

        Raises
        ------
        ShapeError
            If it holds another number of elements.
        """
        xp = self.namespace(x=x)
        self._require_fitting(x.shape)
        y = xp.reshape(x, self.shape)
        self.x_shape, self.y_shape = tuple(x.shape), tuple(y.shape)
        return y

    def backward(self, dout: Array) -> Array:
        """
        Change the shape back.

        Parameters
        ----------
        dout : Array, of the new shape
            The gradient that comes from behind.

        Returns
        -------
        Array
            dx, of the shape of x.
        """
        self.require_shape("dout", dout, self.y_shape)
        return self.namespace(dout=dout).reshape(dout, self.x_shape)

    def _require_fitting(self, shape: Shape) -> None:
        count, known = prod(shape), prod(size for size in self.shape if size != -1)
        free = self.shape.count(-1)
        fits = count == known if not free else free == 1 and known > 0 and count % known == 0
        if not fits or min(self.shape, default=1) < -1:
            raise ShapeError(
                f"Reshape: x has the shape {tuple(shape)}, that is {count} elements, which the "
                f"shape {tuple(self.shape)} does not hold."
            )


class Transpose(Layer):
    """
    The axes in another order.

    Parameters
    ----------
    axes : tuple of int, optional
        For each axis of the output, which one of the input it is; by default reversed.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Transpose()
    >>> layer.forward(np.asarray([[1.0, 2.0], [3.0, 4.0]]))
    array([[1., 3.],
           [2., 4.]])
    """

    def __init__(self, axes: tuple[int, ...] | None = None) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        """
        Change the order.

        Parameters
        ----------
        x : Array, any shape
            The input.

        Returns
        -------
        Array
            With its axes in the new order.

        Raises
        ------
        ShapeError
            If the axes are not those of x, each once.
        """
        xp = self.namespace(x=x)
        axes = tuple(range(x.ndim))[::-1] if self.axes is None else self.axes
        self.order = tuple(axis + x.ndim if axis < 0 else axis for axis in axes)
        if sorted(self.order) != list(range(x.ndim)):
            raise ShapeError(
                f"Transpose: x has the shape {tuple(x.shape)}, but the axes are {tuple(axes)}; "
                f"each from 0 to {x.ndim - 1} is wanted once."
            )
        y = xp.permute_dims(x, self.order)
        self.y_shape = tuple(y.shape)
        return y

    def backward(self, dout: Array) -> Array:
        """
        Change the order back.

        Parameters
        ----------
        dout : Array, with its axes in the new order
            The gradient that comes from behind.

        Returns
        -------
        Array
            dx, of the shape of x.
        """
        self.require_shape("dout", dout, self.y_shape)
        back = tuple(self.order.index(axis) for axis in range(len(self.order)))
        return self.namespace(dout=dout).permute_dims(dout, back)
