"""The rest of arithmetic: subtraction, division, powers and the sign."""

from typing import cast

from koubai.arrays import holds_number, native_device
from koubai.functions import sum_to_shape
from koubai.layers.arithmetic import ElementwiseLayer, shape_of, unbroadcast
from koubai.layers.base import Layer
from koubai.typing import Array, Namespace, Value

__all__ = ["DivLayer", "NegLayer", "PowLayer", "SubLayer"]


class SubLayer(ElementwiseLayer):
    """
    The difference x - y, of numbers or arrays.

    Attributes
    ----------
    x, y : float or Array
        The terms; ``backward`` needs their shapes.

    Examples
    --------
    >>> layer = SubLayer()
    >>> layer.forward(5, 3)
    2
    >>> layer.backward(1.5)
    (1.5, -1.5)
    """

    def forward(self, x: Value, y: Value) -> Value:
        """
        Subtract.

        Parameters
        ----------
        x, y : float or Array, shapes that broadcast together
            The terms.

        Returns
        -------
        float or Array
            x - y.
        """
        self.meet(x, y)
        return x - y

    def backward(self, dout: Value) -> tuple[Value, Value]:
        """
        Pass the gradient on, to y with its sign turned.

        Parameters
        ----------
        dout : float or Array, shape of the difference
            The gradient that comes from behind.

        Returns
        -------
        dx, dy : float or Array
            dout and -dout, summed where a term was broadcast.
        """
        self.meet_gradient(dout)
        return unbroadcast(dout * 1, shape_of(self.x)), unbroadcast(-dout, shape_of(self.y))


class DivLayer(ElementwiseLayer):
    """
    The quotient x / y, of numbers or floating-point arrays.

    Attributes
    ----------
    x, y : float or Array
        Numerator and denominator, kept for ``backward``.

    Examples
    --------
    >>> layer = DivLayer()
    >>> layer.forward(6, 3)
    2.0
    >>> layer.backward(1)
    (0.3333333333333333, -0.6666666666666666)
    """

    def forward(self, x: Value, y: Value) -> Value:
        """
        Divide.

        Parameters
        ----------
        x, y : float or Array, shapes that broadcast together
            Numerator and denominator.

        Returns
        -------
        float or Array
            x / y.
        """
        self.meet(x, y)
        return x / y

    def backward(self, dout: Value) -> tuple[Value, Value]:
        """
        Give dx = dout / y and dy = -dout x / y^2.

        Parameters
        ----------
        dout : float or Array, shape of the quotient
            The gradient that comes from behind.

        Returns
        -------
        dx, dy : float or Array
            Gradients of the shapes of x and y.
        """
        self.meet_gradient(dout)
        d = dout / self.y
        dx = unbroadcast(d, shape_of(self.x))
        return dx, unbroadcast(-d * (self.x / self.y), shape_of(self.y))


class NegLayer(Layer):
    """
    The sign turned round, -x, of a number or an array.

    Examples
    --------
    >>> layer = NegLayer()
    >>> layer.forward(3), layer.backward(2)
    (-3, -2)
    """

    def forward(self, x: Value) -> Value:
        """
        Turn the sign.

        Parameters
        ----------
        x : float or Array, any shape
            The input.

        Returns
        -------
        float or Array
            -x.
        """
        self.shape = shape_of(x)
        return -x

    def backward(self, dout: Value) -> Value:
        """
        Turn the sign of the gradient.

        Parameters
        ----------
        dout : float or Array, shape of x
            The gradient that comes from behind.

        Returns
        -------
        float or Array
            dx = -dout.
        """
        self.require_shape("dout", dout, self.shape)
        return -dout


class PowLayer(ElementwiseLayer):
    """
    The power x to the y, of floating-point arrays, or of one and a number.

    Attributes
    ----------
    x, y : Array
        Base and exponent, kept for ``backward``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = PowLayer()
    >>> layer.forward(np.asarray([1.0, 2.0, 3.0]), 2)
    array([1., 4., 9.])
    >>> dx, dy = layer.backward(np.ones(3))
    >>> dx
    array([2., 4., 6.])
    """

    def forward(self, x: Value, y: Value) -> Value:
        """
        Raise to a power.

        Parameters
        ----------
        x, y : Array, or one of them a float; shapes that broadcast together
            Base and exponent.

        Returns
        -------
        Array
            x ** y; NaN where x is negative and y no whole number.
        """
        self.meet(x, y)
        xp = self.namespace(x=x, y=y)
        self.x, self.y = _array(xp, x, y), _array(xp, y, x)
        return x**y

    def backward(self, dout: Array) -> tuple[Array, Array]:
        """
        Give dx = dout y x^(y-1) and dy = dout x^y log(x).

        Parameters
        ----------
        dout : Array, shape of the power
            The gradient that comes from behind.

        Returns
        -------
        dx, dy : Array
            Gradients of the shapes of x and y. dx is 0 where y is 0; dy is 0 where x
            is 0, and NaN where x is negative.
        """
        x, y = cast(Array, self.x), cast(Array, self.y)
        xp = self.namespace(dout=dout, x=x, y=y)
        self.require_shape("dout", dout, self.shape)
        one_less = xp.where((x == 0) & (y == 0), 1.0, y) - 1.0
        dx = dout * (y * x**one_less)
        log_x = xp.log(xp.where(x > 0, x, 1.0))
        dy = dout * (x**y * xp.where(x < 0, float("nan"), log_x))
        return sum_to_shape(dx, x.shape), sum_to_shape(dy, y.shape)


def _array(xp: Namespace, value: Value, other: Value) -> Array:
    """Give a number as an array of the dtype and on the device of the other operand."""
    is_number = isinstance(value, (int, float)) or holds_number(value)
    if not is_number or not hasattr(other, "dtype"):
        return cast(Array, value)
    known = cast(Array, other)
    return value * xp.full((), 1.0, dtype=known.dtype, device=native_device(known))
