"""Elementary functions, element by element."""

from typing import Any

from koubai.arrays import is_kind
from koubai.errors import DTypeError
from koubai.layers.base import Layer
from koubai.typing import Array

__all__ = ["Abs", "Cast", "Exp", "Log"]


class Exp(Layer):
    """
    The exponential function, y = exp(x).

    Attributes
    ----------
    out : Array
        The output y, which is its own derivative.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Exp()
    >>> layer.forward(np.asarray([0.0, 1.0]))
    array([1.        , 2.71828183])
    >>> layer.backward(np.ones(2))
    array([1.        , 2.71828183])
    """

    def forward(self, x: Array) -> Array:
        """
        Give exp(x).

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
        self.out = xp.exp(x)
        return self.out

    def backward(self, dout: Array) -> Array:
        """
        Multiply by the output.

        Parameters
        ----------
        dout : Array, shape of x
            The gradient that comes from behind.

        Returns
        -------
        Array
            dx = dout y.
        """
        self.namespace_of_gradient(dout, self.out)
        return dout * self.out


class Log(Layer):
    """
    The natural logarithm, y = log(x).

    Attributes
    ----------
    x : Array
        The input, kept for ``backward``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Log()
    >>> layer.forward(np.asarray([1.0, 4.0]))
    array([0.        , 1.38629436])
    >>> layer.backward(np.ones(2))
    array([1.  , 0.25])
    """

    def forward(self, x: Array) -> Array:
        """
        Give log(x).

        Parameters
        ----------
        x : Array, any shape, floating point
            The input, positive.

        Returns
        -------
        Array
            Of the input's shape and dtype; minus infinity at 0, NaN below.
        """
        xp = self.namespace(x=x)
        self.require_floating(xp, "x", x)
        self.x = x
        return xp.log(x)

    def backward(self, dout: Array) -> Array:
        """
        Divide by the input.

        Parameters
        ----------
        dout : Array, shape of x
            The gradient that comes from behind.

        Returns
        -------
        Array
            dx = dout / x.
        """
        self.namespace_of_gradient(dout, self.x)
        return dout / self.x


class Abs(Layer):
    """
    The absolute value, y = abs(x).

    Attributes
    ----------
    x : Array
        The input, kept for ``backward``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Abs()
    >>> layer.forward(np.asarray([-2.0, 0.0, 3.0]))
    array([2., 0., 3.])
    >>> layer.backward(np.ones(3))
    array([-1.,  0.,  1.])
    """

    def forward(self, x: Array) -> Array:
        """
        Drop the sign.

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
        self.x = x
        return xp.abs(x)

    def backward(self, dout: Array) -> Array:
        """
        Give the gradient the sign of the input.

        Parameters
        ----------
        dout : Array, shape of x
            The gradient that comes from behind.

        Returns
        -------
        Array
            dx = dout where x > 0, -dout where x < 0, and 0 at 0.
        """
        xp = self.namespace_of_gradient(dout, self.x)
        return xp.where(self.x > 0, dout, xp.where(self.x < 0, -dout, 0.0))


class Cast(Layer):
    """
    The same values in another floating-point dtype.

    Parameters
    ----------
    dtype
        A dtype of the input's library.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Cast(np.float32)
    >>> layer.forward(np.asarray([0.5])).dtype, layer.backward(np.ones(1, np.float32)).dtype
    (dtype('float32'), dtype('float64'))
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def forward(self, x: Array) -> Array:
        """
        Change the dtype.

        Parameters
        ----------
        x : Array, any shape, floating point
            The input.

        Returns
        -------
        Array
            Of the input's shape and the new dtype.

        Raises
        ------
        DTypeError
            If the input or the new dtype is not floating point.
        """
        xp = self.namespace(x=x)
        self.require_floating(xp, "x", x)
        if not is_kind(xp, self.dtype, "real floating"):
            raise DTypeError(
                f"Cast: {self.dtype} is no floating-point dtype, so nothing could go back through "
                "it."
            )
        self.shape, self.x_dtype = tuple(x.shape), x.dtype
        return xp.astype(xp.asarray(x), self.dtype)

    def backward(self, dout: Array) -> Array:
        """
        Change it back.

        Parameters
        ----------
        dout : Array, shape of x
            The gradient that comes from behind.

        Returns
        -------
        Array
            dx = dout, of the dtype of x.
        """
        self.require_shape("dout", dout, self.shape)
        xp = self.namespace(dout=dout)
        return xp.astype(xp.asarray(dout), self.x_dtype)
