"""koubai on boxes: all that koubai must be told about an array library."""

from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from koubai.backend import Backend
from koubai.typing import Array, Namespace

__all__ = ["BoxesBackend"]


class BoxesBackend(Backend):
    """The two shelves: ``boxes:upper``, which ``boxes`` alone means too, and ``boxes:lower``."""

    name: ClassVar[str] = "boxes"
    library: ClassVar[str] = "boxes"
    install: ClassVar[str] = "pip install koubai-boxes"

    @property
    def xp(self) -> Namespace:
        """The namespace of boxes; the library is imported here, not before it is asked for."""
        import boxes  # noqa: PLC0415

        return cast("Namespace", boxes.xp)

    def devices(self) -> tuple[str, ...]:
        """Name the shelves, the default one first."""
        return ("upper", "lower")

    def native_device(self, device: str) -> str:
        """Give what the library takes as ``device=``: here the name itself."""
        return device

    def to_numpy(self, array: Array) -> npt.NDArray[Any]:
        """Copy the values out of a box, which NumPy cannot open by itself."""
        return np.array(cast("Any", array).values)
