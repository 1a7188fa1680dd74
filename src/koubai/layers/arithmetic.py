"""Multiplication and addition: the two nodes of the book's first graphs (section 5.4)."""

from koubai.functions import sum_to_shape
from koubai.layers.base import Layer
from koubai.typing import Shape, Value

__all__ = ["AddLayer", "MulLayer"]


class MulLayer(Layer):
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
        self.x = x
        self.y = y
        out = x * y
        self.shape = _shape(out)
        return out

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


class AddLayer(Layer):
    """
    The sum x + y, of numbers or arrays.

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
        self.shapes = _shape(x), _shape(y)
        out = x + y
        self.shape = _shape(out)
        return out

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
        self.require_shape("dout", dout, self.shape)
        x_shape, y_shape = self.shapes
        return _unbroadcast(dout, x_shape), _unbroadcast(dout, y_shape)


def _shape(x: Value) -> Shape:
    return () if isinstance(x, (int, float)) else x.shape


def _unbroadcast(gradient: Value, shape: Shape) -> Value:
    return gradient if isinstance(gradient, (int, float)) else sum_to_shape(gradient, shape)
