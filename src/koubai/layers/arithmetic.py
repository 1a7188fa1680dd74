"""Multiplication and addition: the two nodes of the book's first graphs (section 5.4)."""

import numpy as np

from koubai.errors import ShapeError
from koubai.functions import sum_to_shape
from koubai.layers.base import Layer
from koubai.typing import Shape, Value

__all__ = ["AddLayer", "MulLayer"]


class _ElementwiseLayer(Layer):
    """What the two share: shapes that broadcast together."""

    def _broadcast(self, x: Value, y: Value) -> Shape:
        try:
            return np.broadcast_shapes(_shape(x), _shape(y))
        except ValueError as error:
            raise ShapeError(
                f"{type(self).__name__}: x has the shape {tuple(_shape(x))} and y "
                f"{tuple(_shape(y))}, which do not broadcast together."
            ) from error


class MulLayer(_ElementwiseLayer):
    """
    The product x * y, of numbers or arrays.

    Attributes
    ----------
    x, y : float or Array
        The factors, kept for ``backward``.

    Examples
    --------
    >>> mul = MulLayer()
    >>> mul.forward(100, 2)
    200
    >>> mul.backward(1.1)
    (2.2, 110.00000000000001)
    """

    def forward(self, x: Value, y: Value) -> Value:
        """
        Multiply.

        Parameters
        ----------
        x, y : float or Array, shapes that broadcast together
            The factors.

        Returns
        -------
        float or Array
            x * y.
        """
        self.require_shared(x=x, y=y)
        self.shape = self._broadcast(x, y)
        self.x = x
        self.y = y
        return x * y

    def backward(self, dout: Value) -> tuple[Value, Value]:
        """
        Turn the factors round: dx = dout * y, dy = dout * x.

        Parameters
        ----------
        dout : float or Array, shape of the product
            The gradient that comes from behind.

        Returns
        -------
        dx, dy : float or Array
            Gradients of the shapes of x and y: summed where a factor was broadcast.
        """
        self.require_shared(dout=dout, x=self.x, y=self.y)
        self.require_shape("dout", dout, self.shape)
        dx = _unbroadcast(dout * self.y, _shape(self.x))
        dy = _unbroadcast(dout * self.x, _shape(self.y))
        return dx, dy


class AddLayer(_ElementwiseLayer):
    """
    The sum x + y, of numbers or arrays.

    Attributes
    ----------
    x, y : float or Array
        The terms; ``backward`` needs their shapes.

    Examples
    --------
    >>> add = AddLayer()
    >>> add.forward(200, 450)
    650
    >>> add.backward(1.1)
    (1.1, 1.1)
    """

    def forward(self, x: Value, y: Value) -> Value:
        """
        Add.

        Parameters
        ----------
        x, y : float or Array, shapes that broadcast together
            The terms.

        Returns
        -------
        float or Array
            x + y.
        """
        self.require_shared(x=x, y=y)
        self.shape = self._broadcast(x, y)
        self.x = x
        self.y = y
        return x + y

    def backward(self, dout: Value) -> tuple[Value, Value]:
        """
        Pass the gradient on to both terms.

        Parameters
        ----------
        dout : float or Array, shape of the sum
            The gradient that comes from behind.

        Returns
        -------
        dx, dy : float or Array
            Gradients of the shapes of x and y: summed where a term was broadcast.
        """
        self.require_shared(dout=dout, x=self.x, y=self.y)
        self.require_shape("dout", dout, self.shape)
        # Times 1, so that neither gradient is the caller's own array.
        return _unbroadcast(dout * 1, _shape(self.x)), _unbroadcast(dout * 1, _shape(self.y))


def _shape(x: Value) -> Shape:
    return () if isinstance(x, (int, float)) else x.shape


def _unbroadcast(gradient: Value, shape: Shape) -> Value:
    return gradient if isinstance(gradient, (int, float)) else sum_to_shape(gradient, shape)
