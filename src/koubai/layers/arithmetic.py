"""Multiplication and addition: the two nodes of the book's first graphs (section 5.4)."""

import numpy as np

from koubai.errors import ShapeError
from koubai.functions import sum_to_shape
from koubai.layers.base import Layer
from koubai.typing import Shape, Value

__all__ = ["AddLayer", "ElementwiseLayer", "MulLayer", "shape_of", "unbroadcast"]


class ElementwiseLayer(Layer):
    """What the layers of arithmetic share: two operands whose shapes broadcast together."""

    def meet(self, x: Value, y: Value) -> None:
        """Keep the operands, having seen that they go together."""
        self.require_shared(x=x, y=y)
        try:
            self.shape = np.broadcast_shapes(shape_of(x), shape_of(y))
        except ValueError as error:
            raise ShapeError(
                f"{type(self).__name__}: x has the shape {tuple(shape_of(x))} and y "
                f"{tuple(shape_of(y))}, which do not broadcast together."
            ) from error
        self.x = x
        self.y = y

    def meet_gradient(self, dout: Value) -> None:
        """See that the gradient goes with the operands."""
        self.require_shared(dout=dout, x=self.x, y=self.y)
        self.require_shape("dout", dout, self.shape)


class MulLayer(ElementwiseLayer):
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
        self.meet(x, y)
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
        self.meet_gradient(dout)
        dx = unbroadcast(dout * self.y, shape_of(self.x))
        dy = unbroadcast(dout * self.x, shape_of(self.y))
        return dx, dy


class AddLayer(ElementwiseLayer):
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
        self.meet(x, y)
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
        self.meet_gradient(dout)
        # Times 1, so that neither gradient is the caller's own array.
        return unbroadcast(dout * 1, shape_of(self.x)), unbroadcast(dout * 1, shape_of(self.y))


def shape_of(x: Value) -> Shape:
    """Give the shape of an array, or () for a number."""
    return () if isinstance(x, (int, float)) else x.shape


def unbroadcast(gradient: Value, shape: Shape) -> Value:
    """Sum a gradient over what was broadcast; a number is its own."""
    return gradient if isinstance(gradient, (int, float)) else sum_to_shape(gradient, shape)
