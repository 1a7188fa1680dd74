"""What a gradient check found: a row for every input and parameter, and a verdict."""

from dataclasses import dataclass, field
from typing import Self

from koubai.errors import GradientError
from koubai.typing import Shape

__all__ = ["GradientReport", "GradientRow"]


@dataclass(frozen=True)
class GradientRow:
    """
    What was found of the gradient of one input or parameter.

    Attributes
    ----------
    name : str
        The input or parameter; ``forward``, ``backward`` or ``output`` where the layer
        itself failed; ``all`` for a joint direction.
    shape : tuple of int
        Its shape.
    error : float
        The relative difference between the two gradients.
    tolerance : float
        What ``error`` may be.
    against : str
        What the gradient was compared with: ``central difference`` or ``float64``.
    note : str
        What is wrong in words; empty where the error says it all.
    kink : bool
        Whether the function has no derivative at this point, so that nothing is proved.
    noise : bool
        Whether the gradient is so small beside the output that rounding hides it.
    zero : bool
        Whether both gradients are zero throughout.
    worst : tuple of int or None
        In element-wise mode the index of the largest difference.
    mean_difference : float or None
        In element-wise mode the mean of the absolute differences.
    """

    name: str
    shape: Shape
    error: float
    tolerance: float
    against: str = "central difference"
    note: str = ""
    kink: bool = False
    noise: bool = False
    zero: bool = False
    worst: Shape | None = None
    mean_difference: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the gradient is right."""
        return not self.note and not self.kink and self.error <= self.tolerance

    @property
    def verdict(self) -> str:
        """PASS, FAIL, or that nothing is proved: KINK or NOISE."""
        if self.passed:
            return "PASS"
        return "KINK" if self.kink else "NOISE" if self.noise else "FAIL"

    @property
    def remark(self) -> str:
        """Everything that is no number of the table."""
        parts = [self.note, "zero here, which proves little" if self.zero else ""]
        if self.kink:
            parts.append("no derivative here: move the point")
        if self.noise:
            parts.append("rounding hides it: scale the inputs")
        if self.worst is not None and self.mean_difference is not None:
            parts.append(f"worst at {self.worst}, mean difference {self.mean_difference:.1e}")
        return "; ".join(filter(None, parts))


@dataclass(frozen=True)
class GradientReport:
    """
    The result of `koubai.check_gradients`; prints as a table.

    Attributes
    ----------
    title : str
        What was checked, where, and in which dtype.
    rows : list of GradientRow
        One for every input and parameter.
    cause : Exception or None
        What the layer raised, if it did.
    """

    title: str
    rows: list[GradientRow] = field(default_factory=list)
    cause: Exception | None = None

    @property
    def passed(self) -> bool:
        """Whether every row passed, and there is one."""
        return bool(self.rows) and all(row.passed for row in self.rows)

    @property
    def worst(self) -> GradientRow:
        """The first row that failed, or else the one with the largest error."""
        return max(self.rows, key=lambda row: (not row.passed, row.passed and row.error))

    def raise_if_failed(self) -> Self:
        """
        Raise if a row failed; for tests.

        Returns
        -------
        GradientReport
            The report itself.

        Raises
        ------
        GradientError
            With the whole table, chained to what the layer raised.
        """
        if not self.passed:
            raise GradientError(f"\n{self}") from self.cause
        return self

    def __str__(self) -> str:
        table = [("name", "shape", "error", "tolerance", "against", "verdict", "")]
        table += [(row.name, *_numbers(row), row.verdict, row.remark) for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in table
        )
        return "\n  ".join([f"gradient check of {self.title}", *lines])


def _numbers(row: GradientRow) -> tuple[str, str, str, str]:
    if row.note:
        return "-", "-", "-", "-"
    return str(row.shape), f"{row.error:.1e}", f"{row.tolerance:.1e}", row.against
