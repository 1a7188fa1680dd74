"""Layer: what every layer has, and the questions it asks of its arrays at the door."""

from collections.abc import Callable
from functools import cache, wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar, Never

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

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        if "forward" in vars(cls):
            cls.forward = _taken_over(vars(cls)["forward"])  # type: ignore[attr-defined]

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


def _taken_over(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Let a `koubai.graph.Variable` among the inputs make the layer a node of its graph."""

    @wraps(forward)
    def run(self: Layer, *inputs: Any, **named: Any) -> Any:
        for value in (*inputs, *named.values()) if named else inputs:
            kind: type = type(value)
            if _may_take_over(kind) and value.takes_over():
                if named:
                    inputs = _in_order(self, forward, inputs, named)
                return value.run(self, *inputs)
        return forward(self, *inputs, **named)

    return run


@cache
def _may_take_over(kind: type) -> bool:
    return hasattr(kind, "takes_over")


def _in_order(
    layer: Layer, forward: Callable[..., Any], inputs: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Any, ...]:
    bound = signature(forward).bind(layer, *inputs, **named)
    if bound.kwargs:
        raise TypeError(
            f"{type(layer).__name__}.forward takes {', '.join(bound.kwargs)} by keyword only, "
            "which a node of a graph cannot keep. Let it be given by position, or be an attribute."
        )
    return bound.args[1:]
