"""Rule: what koubai's own optimizers have in common, their state above all."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from koubai.arrays import shared_namespace
from koubai.backend import Device
from koubai.errors import MixedArraysError, ShapeError
from koubai.optimizers import state
from koubai.optimizers.contract import Parameters
from koubai.typing import Array

__all__ = ["Rule"]


class Rule(ABC):
    """
    The base of koubai's optimizers.

    A subclass writes ``apply(params, grads)``. One that counts its steps writes
    ``advance()`` too, which is called before it, and computes there whatever changes from
    step to step without being an array.

    Attributes
    ----------
    numbers : tuple of str
        The names of the attributes that are numbers, and belong to the state.
    arrays : tuple of str
        The names of those that hold an array for every parameter, in a dict by its name;
        None before the first step.
    """

    numbers: ClassVar[tuple[str, ...]] = ("lr",)
    arrays: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.numbers if name != "iter")
        return f"{type(self).__name__}({', '.join(shown)})"

    def update(self, params: Parameters, grads: Mapping[str, Array]) -> None:
        """
        Take a step: change the parameters, in place where arrays can be written.

        Parameters
        ----------
        params : mapping of str to Array
            The parameters, such as ``network.params``.
        grads : mapping of str to Array
            For every parameter an array of its shape.

        Raises
        ------
        MixedArraysError, ShapeError
            If what the optimizer remembers of a parameter lies on another device, or
            has another shape.
        """
        advance = getattr(self, "advance", None)
        if advance is not None:
            advance()
        self.apply(params, grads)

    @abstractmethod
    def apply(self, params: Parameters, grads: Mapping[str, Array]) -> None:
        """Do the arithmetic of a step in arrays; parameters as for `update`."""

    def state_dict(self) -> dict[str, Any]:
        """
        Give all that a step leaves for the next one, and the settings, by name.

        Returns
        -------
        dict of str to Array or float
            Numbers such as ``lr`` and ``iter``, and copies of arrays such as ``v.W1``;
            of an optimizer within another one they begin with ``optimizer.``.
        """
        return state.read(self)

    def load_state_dict(self, given: Mapping[str, Any]) -> None:
        """
        Put back what `state_dict` gave.

        Parameters
        ----------
        given : mapping of str to Array or float
            Every name of the state, and no other. Arrays are copied, to the device of
            those that they replace, if there are any; `to` moves them.

        Raises
        ------
        OptimizerError
            If names are missing or unexpected, or a shape is another one. The error
            lists them all, and nothing has changed.
        """
        state.load(self, given)

    def to(self, device: str | Device) -> Self:
        """
        Move what the optimizer remembers to a device, as `Network.to` moves the parameters.

        A compiled step does so by itself.

        Parameters
        ----------
        device
            A device as in `koubai.device`.

        Returns
        -------
        Rule
            The optimizer itself.
        """
        state.move(self, device)
        return self

    def remembered(self, name: str, key: str, like: Array) -> Array:
        """
        Give an array of the state, zeros before the first step of its parameter.

        Parameters
        ----------
        name : str
            One of ``arrays``.
        key : str
            The name of the parameter.
        like : Array
            The parameter.

        Returns
        -------
        Array
            An array of the parameter's shape.

        Raises
        ------
        MixedArraysError
            If it lies elsewhere than the parameter.
        ShapeError
            If it has another shape.
        """
        if getattr(self, name) is None:
            setattr(self, name, {})
        kept: dict[str, Array] = getattr(self, name)
        owner, label = type(self).__name__, f'{name}["{key}"]'
        if key not in kept:
            kept[key] = shared_namespace(owner, {key: like}).zeros_like(like)
            return kept[key]
        try:
            shared_namespace(owner, {label: kept[key], key: like})
        except MixedArraysError as error:
            raise MixedArraysError(
                f"{error}\nWhat an optimizer remembers moves with optimizer.to(device)."
            ) from error
        if kept[key].shape != like.shape:
            raise ShapeError(
                f"{owner}: {label} has the shape {tuple(kept[key].shape)}, but the parameter "
                f"{tuple(like.shape)}. A network of other layers needs a new optimizer, or "
                f"optimizer.{name} = None to begin anew."
            )
        return kept[key]

    def remember(self, name: str, key: str, array: Array) -> None:
        """Put a new array of the state in the place of the one that `remembered` gave."""
        getattr(self, name)[key] = array
