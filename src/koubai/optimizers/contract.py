"""What a network and a compiled step ask of an optimizer: ``update``, whole or in two parts."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from koubai.typing import Array

__all__ = ["Optimizer", "Parameters", "advance", "apply", "has_parts"]


class Parameters(Protocol):
    """What an optimizer changes: the parameters by name, as ``network.params`` gives them."""

    def __iter__(self) -> Iterator[str]: ...
    def __getitem__(self, key: str, /) -> Array: ...
    def __setitem__(self, key: str, value: Array, /) -> None: ...


class Optimizer(Protocol):
    """
    What `koubai.compile_step` asks of an optimizer.

    Its numbers and arrays are attributes, or lie in dicts and lists that are attributes;
    a compiled step takes them as they are at each step, and puts the new ones there.

    An optimizer that counts its steps may have ``update`` in two parts, ``advance()`` and
    ``apply(params, grads)``, one after the other. A compiled step then calls ``advance``
    on the host before each step, where any arithmetic of numbers is allowed, and records
    ``apply`` alone, which changes arrays and no numbers.
    """

    def update(self, params: Parameters, grads: Mapping[str, Array], /) -> None:
        """Change the parameters by their gradients."""


def has_parts(optimizer: Any) -> bool:
    """Tell whether ``update`` is ``advance`` and ``apply``, and not another one put over them."""
    names = ("update", "advance", "apply")
    if any(name in getattr(optimizer, "__dict__", ()) for name in names):
        return False
    update, *parts = (_home(type(optimizer), name) for name in names)
    return update is not None and all(part is not None and part <= update for part in parts)


def advance(optimizer: Any) -> None:
    """Do what an optimizer does on the host before a step, if it has such a part."""
    if has_parts(optimizer):
        optimizer.advance()


def apply(optimizer: Any, params: Parameters, grads: Mapping[str, Array]) -> None:
    """Do what is left of a step: the rule in arrays, or all of ``update`` where it is one."""
    rule = optimizer.apply if has_parts(optimizer) else optimizer.update
    rule(params, grads)


def _home(kind: type, name: str) -> int | None:
    """Tell how far up among the base classes a method is defined."""
    return next((i for i, base in enumerate(kind.__mro__) if name in vars(base)), None)
