"""Layer: what every layer has, and the questions it asks of its arrays at the door."""

from typing import TYPE_CHECKING, ClassVar, Never

from koubai.arrays import dtype_name, is_kind, shared_namespace
from koubai.errors import DTypeError, NotForwardedError, ShapeError
from koubai.typing import Array, Namespace, Shape, Value

__all__ = ["Layer"]


class Layer:
    """
    A function with an explicit derivative: ``forward`` and ``backward``.

    A subclass writes both against the namespace of the arrays it is handed, keeps in
    its attributes what ``backward`` needs, and changes nothing it is given.

    Attributes
    ----------
    parameters : tuple of str
        The names of the attributes that are learned, such as ``("W", "b")``.
        ``backward`` leaves their gradients in ``dW`` and ``db``.
    state : tuple of str
        The names of arrays that ``forward`` itself changes from step to step, such as
        running means. `koubai.compile_step` carries them along.
    """

    parameters: ClassVar[tuple[str, ...]] = ()
    state: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        shapes = [getattr(self, name).shape for name in self.parameters[:1]]
        return f"{type(self).__name__}({', '.join(str(size) for size in sum(shapes, ()))})"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Never:
            # Python comes here only for an attribute that is not there.
            raise NotForwardedError(
                f"{type(self).__name__} has no {name!r}. What backward needs is there after "
                "forward, and a gradient such as dW after backward."
            )

    def namespace(self, **arrays: object) -> Namespace:
        """
        Give the namespace that the arrays share.

        Parameters
        ----------
        **arrays
            All arrays that meet in the formula, by name, the layer's own last. Python
            numbers are passed over.

        Returns
        -------
        Namespace
            The functions of their library.

        Raises
        ------
        MixedArraysError
            If two are of different libraries or devices; the error names this layer.
        NotAnArrayError
            If one is no array.
        """
        return shared_namespace(type(self).__name__, arrays)

    def namespace_of_gradient(self, dout: Array, y: Array) -> Namespace:
        """
        Give the namespace of ``dout``, having seen that it has the shape of an output.

        Parameters
        ----------
        dout : Array
            The gradient that comes from behind.
        y : Array
            The output of ``forward``, or an array of its shape.

        Returns
        -------
        Namespace
            The functions of their library.

        Raises
        ------
        ShapeError
            If the shapes differ.
        """
        xp = shared_namespace(type(self).__name__, {"dout": dout, "y": y})
        self.require_shape("dout", dout, y.shape)
        return xp

    def require_shared(self, **values: Value) -> None:
        """Raise a MixedArraysError that names this layer unless the values go together."""
        if not all(type(value) in (int, float) for value in values.values()):
            shared_namespace(type(self).__name__, values)

    def require_shape(self, name: str, value: Value, shape: Shape) -> None:
        """Raise a ShapeError that names this layer unless the value has the shape."""
        found = tuple(getattr(value, "shape", ()))
        if found != shape:
            raise ShapeError(
                f"{type(self).__name__}: {name} has the shape {found}, "
                f"but {tuple(shape)} is wanted."
            )

    def require_floating(self, xp: Namespace, name: str, array: Array) -> None:
        """Raise a DTypeError that names this layer unless the dtype is floating point."""
        if not is_kind(xp, array.dtype, "real floating"):
            raise DTypeError(
                f"{type(self).__name__}: {name} is {dtype_name(array)}, but floating point is "
                f'wanted. koubai.asarray({name}, dtype="float32") makes it so.'
            )
