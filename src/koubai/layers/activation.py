"""Activations, element by element (the book, section 5.5)."""

from koubai.functions import sigmoid
from koubai.layers.base import Layer
from koubai.typing import Array

__all__ = ["Relu", "Sigmoid", "Tanh"]


class Relu(Layer):
    """
    The rectified linear unit, y = max(x, 0).

    Attributes
    ----------
    mask : Array of bool
        Where x <= 0: the elements that are shut, forward and backward.

    Examples
    --------
    >>> import numpy as np
    >>> relu = Relu()
    >>> relu.forward(np.asarray([[1.0, -0.5], [-2.0, 3.0]]))
    array([[1., 0.],
           [0., 3.]])
    >>> relu.backward(np.ones((2, 2)))
    array([[1., 0.],
           [0., 1.]])
    """

    def forward(self, x: Array) -> Array:
        """
        Shut what is not positive.

        Parameters
        ----------
        x : Array, any shape, floating point
            The input.

        Returns
        -------
        Array
            Of the input's shape and dtype; NaN stays NaN.
        """
        xp = self.namespace(x=x)
        self.require_floating(xp, "x", x)
        self.mask = x <= 0
        return xp.maximum(x, 0.0)

    def backward(self, dout: Array) -> Array:
        """
        Let the gradient through where the input was positive.

        Parameters
        ----------
        dout : Array, shape of x
            The gradient that comes from behind; it is not changed.

        Returns
        -------
        Array
            dx = dout where x > 0, else 0.
        """
        xp = self.namespace_of_gradient(dout, self.mask)
        return xp.where(self.mask, 0.0, dout)


class Sigmoid(Layer):
    """
    The sigmoid, y = 1 / (1 + exp(-x)), without overflow at any value.

    Attributes
    ----------
    out : Array
        The output y; the derivative needs nothing else.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Sigmoid()
    >>> layer.forward(np.asarray([[1.0, -0.5], [-2.0, 3.0]]))
    array([[0.73105858, 0.37754067],
           [0.11920292, 0.95257413]])
    >>> layer.backward(np.ones((2, 2)))
    array([[0.19661193, 0.23500371],
           [0.10499359, 0.04517666]])
    """

    def forward(self, x: Array) -> Array:
        """
        Squash to the interval from 0 to 1.

        Parameters
        ----------
        x : Array, any shape, floating point
            The input.

        Returns
        -------
        Array
            Of the input's shape and dtype.
        """
        self.require_floating(self.namespace(x=x), "x", x)
        self.out = sigmoid(x)
        return self.out

    def backward(self, dout: Array) -> Array:
        """
        Multiply by the derivative y (1 - y).

        Parameters
        ----------
        dout : Array, shape of x
            The gradient that comes from behind.

        Returns
        -------
        Array
            dx = dout y (1 - y).
        """
        self.namespace_of_gradient(dout, self.out)
        return dout * (1.0 - self.out) * self.out


class Tanh(Layer):
    """
    The hyperbolic tangent, y = tanh(x).

    Attributes
    ----------
    out : Array
        The output y; the derivative needs nothing else.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Tanh()
    >>> layer.forward(np.asarray([0.0, 1.0]))
    array([0.        , 0.76159416])
    >>> layer.backward(np.ones(2))
    array([1.        , 0.41997434])
    """

    def forward(self, x: Array) -> Array:
        """
        Squash to the interval from -1 to 1.

        Parameters
        ----------
        x : Array, any shape, floating point
            The input.

        Returns
        -------
        Array
            Of the input's shape and dtype.
        """
        xp = self.namespace(x=x)
        self.require_floating(xp, "x", x)
        self.out = xp.tanh(x)
        return self.out

    def backward(self, dout: Array) -> Array:
        """
        Multiply by the derivative 1 - y^2.

        Parameters
        ----------
        dout : Array, shape of x
            The gradient that comes from behind.

        Returns
        -------
        Array
            dx = dout (1 - y^2).
        """
        self.namespace_of_gradient(dout, self.out)
        return dout * (1.0 - self.out * self.out)
