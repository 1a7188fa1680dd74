"""Names that a package imports only when they are asked for, so that it is there sooner."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["later"]


def later(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """
    Make the ``__getattr__`` of a package.

    Parameters
    ----------
    package : str
        Its name.
    homes : dict of str to str
        For each name, the module of the package that has it. These modules are there by
        their own names as well.

    Returns
    -------
    callable
        From a name to what it stands for; an AttributeError for any other.
    """
    modules = frozenset(homes.values())

    def find(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name in homes:
            return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
