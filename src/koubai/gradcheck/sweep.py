"""The sweep: every case on every device and dtype, as ``koubai check`` shows it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from koubai.backend import device
from koubai.gradcheck.cases import CASES, Case
from koubai.gradcheck.check import check_gradients
from koubai.gradcheck.report import GradientReport
from koubai.testing.cells import Cell

__all__ = ["Finding", "sweep"]


@dataclass(frozen=True)
class Finding:
    """
    What was found of one case in one cell.

    Attributes
    ----------
    case : str
        The name of the case.
    cell : Cell
        The device and dtype.
    report : GradientReport or None
        The check itself; None if it could not be made.
    remark : str
        Why it could not be made.
    """

    case: str
    cell: Cell
    report: GradientReport | None
    remark: str = ""

    @property
    def passed(self) -> bool:
        """Whether all gradients were right."""
        return self.report is not None and self.report.passed


def sweep(cells: Iterable[Cell], cases: Iterable[Case] = CASES) -> Iterator[Finding]:
    """
    Prove every case in every cell whose device works.

    Parameters
    ----------
    cells : iterable of Cell
        Devices and dtypes.
    cases : iterable of Case
        Layers and networks; by default all.

    Yields
    ------
    Finding
        One for each case and cell, as soon as it is known.
    """
    chosen = tuple(cases)
    for cell in cells:
        if not cell.reason:
            yield from (_prove(case, cell) for case in chosen)


def _prove(case: Case, cell: Cell) -> Finding:
    place = device(cell.device)
    try:
        with place.backend.scope(place.name), place.backend.float64():
            target, inputs = case.make(place, cell.dtype)
            return Finding(case.name, cell, check_gradients(target, *inputs))
    except Exception as error:  # noqa: BLE001  (a plug-in may raise anything, and stops nothing)
        return Finding(case.name, cell, None, f"{type(error).__name__}: {error}")
