"""One of two values, element by element: the larger, the smaller, or what a mask says."""

from typing import ClassVar, cast

import numpy as np

from koubai.errors import ShapeError
from koubai.layers.arithmetic import ElementwiseLayer, shape_of, unbroadcast
from koubai.typing import Array, Value

__all__ = ["Maximum", "Minimum", "Where"]


class Maximum(ElementwiseLayer):
    """
    The larger of two values, of arrays or of one and a number.

    Where both are equal, each takes half of the gradient.

    Attributes
    ----------
    x, y : float or Array
        The values, kept for ``backward``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Maximum()
    >>> layer.forward(np.asarray([1.0, 2.0, 3.0]), 2.0)
    array([2., 2., 3.])
    >>> layer.backward(np.ones(3))[0]
    array([0. , 0.5, 1. ])
    """

    _sign: ClassVar[float] = 1.0

    def forward(self, x: Value, y: Value) -> Array:
        """
        Choose, element by element.

        Parameters
        ----------
        x, y : Array, or one of them a float; shapes that broadcast together
            The values.

        Returns
        -------
        Array
            The larger one of each pair; of `Minimum` the smaller one.
        """
        self.meet(x, y)
        xp = self.namespace(x=x, y=y)
        return xp.maximum(x, y) if self._sign > 0 else xp.minimum(x, y)

    def backward(self, dout: Array) -> tuple[Value, Value]:
        """
        Pass the gradient to the value that was chosen.

        Parameters
        ----------
        dout : Array, shape of the output
            The gradient that comes from behind.

        Returns
        -------
        dx, dy : Array
            Gradients of the shapes of x and y.
        """
        self.meet_gradient(dout)
        xp = self.namespace(dout=dout)
        lead = cast(Array, (self.x - self.y) * self._sign)
        to_x = xp.where(lead > 0, dout, xp.where(lead < 0, 0.0, 0.5 * dout))
        to_y = xp.where(lead < 0, dout, xp.where(lead > 0, 0.0, 0.5 * dout))
        return unbroadcast(to_x, shape_of(self.x)), unbroadcast(to_y, shape_of(self.y))


class Minimum(Maximum):
    """
    The smaller of two values, of arrays or of one and a number.

    Where both are equal, each takes half of the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> Minimum().forward(np.asarray([1.0, 2.0, 3.0]), 2.0)
    array([1., 2., 2.])
    """

    _sign: ClassVar[float] = -1.0


class Where(ElementwiseLayer):
    """
    One value where a condition holds, another elsewhere.

    Attributes
    ----------
    condition : Array of bool
        Where the first is taken, kept for ``backward``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Where()
    >>> layer.forward(np.asarray([True, False]), np.asarray([1.0, 2.0]), np.asarray([3.0, 4.0]))
    array([1., 4.])
    >>> layer.backward(np.ones(2))
    (None, array([1., 0.]), array([0., 1.]))
    """

    def forward(self, condition: Array, x: Value, y: Value) -> Array:
        """
        Choose, element by element.

        Parameters
        ----------
        condition : Array of bool
            Where x is taken; it has no gradient.
        x, y : Array, or one of them a float; shapes that broadcast with the condition
            The values.

        Returns
        -------
        Array
            x where the condition holds, else y.
        """
        self.meet(x, y)
        xp = self.namespace(condition=condition, x=x, y=y)
        try:
            np.broadcast_shapes(condition.shape, self.shape)
        except ValueError as error:
            raise ShapeError(
                f"Where: the condition has the shape {tuple(condition.shape)}, which does not "
                f"broadcast with that of x and y, {tuple(self.shape)}."
            ) from error
        self.condition = condition
        out = xp.where(condition, x, y)
        self.shape = out.shape
        return out

    def backward(self, dout: Array) -> tuple[None, Value, Value]:
        """
        Pass the gradient to the value that was chosen.

        Parameters
        ----------
        dout : Array, shape of the output
            The gradient that comes from behind.

        Returns
        -------
        None, dx, dy : Array
            Gradients of the shapes of x and y; the condition has none.
        """
        self.meet_gradient(dout)
        xp = self.namespace(dout=dout)
        to_x = xp.where(self.condition, dout, 0.0)
        to_y = xp.where(self.condition, 0.0, dout)
        return None, unbroadcast(to_x, shape_of(self.x)), unbroadcast(to_y, shape_of(self.y))
