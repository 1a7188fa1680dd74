"""Sums, means and extremes along axes."""

from math import prod

from koubai.arrays import native_device
from koubai.errors import ShapeError
from koubai.layers.base import Layer
from koubai.typing import Array, Axis, Namespace, Shape

__all__ = ["Max", "Mean", "Min", "Sum"]


class Reduction(Layer):
    """
    What the layers have in common that reduce axes.

    Parameters
    ----------
    axis : int or tuple of int, optional
        The axes to reduce; by default all.
    keepdims : bool
        Whether they stay, with the size 1.
    """

    def __init__(self, axis: Axis = None, *, keepdims: bool = False) -> None:
        self.axis = axis
        self.keepdims = keepdims

    def meet(self, x: Array, *, may_be_empty: bool) -> Namespace:
        """Give the namespace of the input, having seen that it can be reduced."""
        xp = self.namespace(x=x)
        self.require_floating(xp, "x", x)
        self.shape = tuple(x.shape)
        axes, name = self.axes, type(self).__name__
        if len(set(axes)) < len(axes) or not set(axes) <= set(range(x.ndim)):
            raise ShapeError(
                f"{name}: x has the shape {self.shape}, but the axis is {self.axis}; one from "
                f"{-x.ndim} to {x.ndim - 1} is wanted, or several, each once."
            )
        if not may_be_empty and 0 in [self.shape[axis] for axis in axes]:
            raise ShapeError(
                f"{name}: x has the shape {self.shape}, and along the axis {self.axis} there is "
                "nothing to take it of."
            )
        return xp

    def keep(self, out: Array) -> Array:
        """Keep the shape that ``backward`` needs, and give the output."""
        self.out_shape = tuple(out.shape)
        return out

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes to reduce, counted from the first."""
        rank = len(self.shape)
        given = range(rank) if self.axis is None else self.axis
        every = (given,) if isinstance(given, int) else given
        return tuple(axis + rank if axis < 0 else axis for axis in every)

    @property
    def wide_shape(self) -> Shape:
        """The output's shape with the reduced axes kept."""
        axes = self.axes
        return tuple(1 if axis in axes else size for axis, size in enumerate(self.shape))

    def spread(self, dout: Array) -> Array:
        """Give the gradient at every element that went into an output."""
        xp = self.namespace(dout=dout)
        self.require_shape("dout", dout, self.out_shape)
        ones = xp.full(self.shape, 1.0, dtype=dout.dtype, device=native_device(dout))
        return xp.reshape(dout, self.wide_shape) * ones


class Sum(Reduction):
    """
    The sum along axes.

    Parameters
    ----------
    axis : int or tuple of int, optional
        The axes to sum over; by default all.
    keepdims : bool
        Whether they stay, with the size 1.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Sum(axis=0)
    >>> layer.forward(np.asarray([[1.0, 2.0], [3.0, 4.0]]))
    array([4., 6.])
    >>> layer.backward(np.asarray([1.0, 10.0]))
    array([[ 1., 10.],
           [ 1., 10.]])
    """

    def forward(self, x: Array) -> Array:
        """
        Sum.

        Parameters
        ----------
        x : Array, any shape, floating point
            The input.

        Returns
        -------
        Array
            The sums.
        """
        xp = self.meet(x, may_be_empty=True)
        return self.keep(xp.sum(x, axis=self.axis, keepdims=self.keepdims))

    def backward(self, dout: Array) -> Array:
        """
        Give every term the gradient of its sum.

        Parameters
        ----------
        dout : Array, shape of the sums
            The gradient that comes from behind.

        Returns
        -------
        Array
            dx, of the shape of x.
        """
        return self.spread(dout)


class Mean(Reduction):
    """
    The mean along axes.

    Parameters
    ----------
    axis : int or tuple of int, optional
        The axes to average over; by default all.
    keepdims : bool
        Whether they stay, with the size 1.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Mean()
    >>> layer.forward(np.asarray([1.0, 2.0, 3.0, 6.0])).item()
    3.0
    >>> layer.backward(np.asarray(1.0))
    array([0.25, 0.25, 0.25, 0.25])
    """

    def forward(self, x: Array) -> Array:
        """
        Average.

        Parameters
        ----------
        x : Array, any shape, floating point
            The input.

        Returns
        -------
        Array
            The means.
        """
        xp = self.meet(x, may_be_empty=False)
        return self.keep(xp.mean(x, axis=self.axis, keepdims=self.keepdims))

    def backward(self, dout: Array) -> Array:
        """
        Give every element its part of the gradient.

        Parameters
        ----------
        dout : Array, shape of the means
            The gradient that comes from behind.

        Returns
        -------
        Array
            dx = dout / n, where n numbers went into a mean.
        """
        return self.spread(dout) / (prod(self.shape) / max(prod(self.out_shape), 1))


class Max(Reduction):
    """
    The largest element along axes.

    Where several are the largest, they share the gradient equally.

    Parameters
    ----------
    axis : int or tuple of int, optional
        The axes to go along; by default all.
    keepdims : bool
        Whether they stay, with the size 1.

    Attributes
    ----------
    mask : Array
        1 at the elements that are the largest, 0 elsewhere.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Max(axis=1)
    >>> layer.forward(np.asarray([[1.0, 5.0], [2.0, 2.0]]))
    array([5., 2.])
    >>> layer.backward(np.asarray([1.0, 1.0]))
    array([[0. , 1. ],
           [0.5, 0.5]])
    """

    def forward(self, x: Array) -> Array:
        """
        Find the largest element; of `Min` the smallest.

        Parameters
        ----------
        x : Array, any shape, floating point, not empty
            The input.

        Returns
        -------
        Array
            The largest elements.
        """
        xp = self.meet(x, may_be_empty=False)
        out = self.keep(self.extreme(x))
        self.mask = xp.astype(xp.asarray(x == xp.reshape(out, self.wide_shape)), x.dtype)
        return out

    def backward(self, dout: Array) -> Array:
        """
        Give the gradient to the elements that are the largest.

        Parameters
        ----------
        dout : Array, shape of the output
            The gradient that comes from behind.

        Returns
        -------
        Array
            dx, of the shape of x.
        """
        xp = self.namespace(dout=dout, x=self.mask)
        shares = xp.sum(self.mask, axis=self.axis, keepdims=True)
        return self.spread(dout) * (self.mask / xp.reshape(shares, self.wide_shape))

    def extreme(self, x: Array) -> Array:
        """Give what is looked for along the axes."""
        return self.namespace(x=x).max(x, axis=self.axis, keepdims=self.keepdims)


class Min(Max):
    """
    The smallest element along axes.

    Where several are the smallest, they share the gradient equally.

    Parameters
    ----------
    axis : int or tuple of int, optional
        The axes to go along; by default all.
    keepdims : bool
        Whether they stay, with the size 1.

    Examples
    --------
    >>> import numpy as np
    >>> Min(axis=1).forward(np.asarray([[1.0, 5.0], [2.0, 2.0]]))
    array([1., 2.])
    """

    def extreme(self, x: Array) -> Array:
        """Give what is looked for along the axes."""
        return self.namespace(x=x).min(x, axis=self.axis, keepdims=self.keepdims)
