"""A network's own methods of saving; what they do is imported when they are called."""

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING

from koubai.typing import Array

if TYPE_CHECKING:
    from koubai.networks.network import Network
    from koubai.saving import Unmatched

__all__ = ["Saved"]


class Saved:
    """What lets a network be saved, and take weights from a file."""

    def save(self: "Network", path: str | PathLike[str]) -> None:  # type: ignore[misc]
        """
        Write the network into one safetensors file; `koubai.load` builds it again.

        Parameters
        ----------
        path : str or Path
            The file; one that is there is replaced, whole or not at all.

        Raises
        ------
        ArchitectureError
            If a layer was made with something that a file cannot hold.
        SavingError
            If the file cannot be written; one that was there stays.
        """
        from koubai.saving import save_network  # noqa: PLC0415  (most programs never save)

        save_network(self, path)

    def load_weights(  # type: ignore[misc]
        self: "Network",
        source: str | PathLike[str] | Mapping[str, Array],
        *,
        strict: bool = True,
    ) -> "Unmatched":
        """
        Take weights by their names, all of them or none.

        Parameters
        ----------
        source : str, Path, or mapping of str to Array
            A safetensors file of any origin, or arrays of any backend.
        strict : bool
            Whether the names must be the same; if not, those that both have are loaded.

        Returns
        -------
        Unmatched
            The names that only one of them has; none if ``strict``.

        Raises
        ------
        ArchitectureError
            If the names or shapes differ; all that is wrong is listed, and nothing is
            changed.
        SavingError
            If the file cannot be read, or is altered.
        """
        from koubai.saving import load_weights  # noqa: PLC0415

        return load_weights(self, source, strict=strict)
