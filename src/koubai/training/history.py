"""History: what a training was like, epoch by epoch, in memory and on disk as it goes."""

import csv
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from koubai.errors import KoubaiError

__all__ = ["History"]


class History(dict[str, list[Any]]):
    """
    One list for each thing that is told of an epoch, all of the same length.

    Parameters
    ----------
    folder : str or Path, optional
        Where ``history.csv`` and ``history.jsonl`` are written, a line an epoch as it ends.

    Examples
    --------
    >>> history = History()
    >>> history.add({"epoch": 1, "train_loss": 0.5, "test_accuracy": 0.9})
    >>> history.add({"epoch": 2, "train_loss": 0.25, "test_accuracy": 0.95})
    >>> history["train_loss"]
    [0.5, 0.25]
    >>> print(history.table())
    epoch  train_loss  test_accuracy
        1         0.5            0.9
        2        0.25           0.95
    """

    def __init__(self, folder: str | PathLike[str] | None = None) -> None:
        super().__init__()
        self._folder = None if folder is None else Path(folder)

    def __len__(self) -> int:
        """Give the number of epochs."""
        return len(next(iter(self.values()), ()))

    def __bool__(self) -> bool:
        return len(self) > 0

    def add(self, row: Mapping[str, Any]) -> None:
        """
        Tell of an epoch; on disk as well.

        Parameters
        ----------
        row : dict of str to float
            By the same names each time.
        """
        for name, value in row.items():
            self.setdefault(name, []).append(value)
        if self._folder is not None:
            self._write([row], anew=len(self) == 1)

    def row(self, index: int = -1) -> dict[str, Any]:
        """Give what was told of one epoch; by default the last."""
        return {name: values[index] for name, values in self.items()}

    def take_over(self, columns: Mapping[str, list[Any]]) -> None:
        """Go on from an earlier history, and write the files anew."""
        self.clear()
        self.update({name: list(values) for name, values in columns.items()})
        if self._folder is not None and self:
            self._write([self.row(i) for i in range(len(self))], anew=True)

    def table(self) -> str:
        """Give all epochs as a table to print."""
        rows = [list(self), *([_short(each) for each in self.row(i).values()] for i in self._all())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.rjust, row, widths)) for row in rows)
        return "\n".join(lines)

    def plot(self, losses: list[float] | None = None) -> Any:
        """
        Draw the curves.

        Parameters
        ----------
        losses : list of float, optional
            The loss of every step.

        Returns
        -------
        matplotlib.figure.Figure
            Notebooks show it; ``figure.savefig("curves.png")`` keeps it.

        Raises
        ------
        KoubaiError
            If matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure  # noqa: PLC0415  (an extra)
        except ImportError as error:
            raise KoubaiError(
                'plot_history needs matplotlib, which is not installed: pip install "koubai[plot]".'
            ) from error
        figure = Figure(figsize=(10, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        if losses:
            per_epoch = len(losses) / max(len(self), 1)
            epochs = [(step + 1) / per_epoch for step in range(len(losses))]
            left.plot(epochs, losses, linewidth=0.5, alpha=0.5, label="each step")
        self._draw(left, "loss")
        self._draw(right, "accuracy")
        return figure

    def _draw(self, axes: Any, kind: str) -> None:
        for name, marker in ((f"train_{kind}", "o"), (f"test_{kind}", "s")):
            if name in self:
                axes.plot(self["epoch"], self[name], marker=marker, label=name.partition("_")[0])
        axes.set(xlabel="epoch", ylabel=kind)
        if axes.has_data():
            axes.legend()

    def _all(self) -> range:
        return range(len(self))

    def _write(self, rows: list[Mapping[str, Any]], *, anew: bool) -> None:
        assert self._folder is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        mode = "w" if anew else "a"
        with (self._folder / "history.csv").open(mode, newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self))
            if anew:
                writer.writeheader()
            writer.writerows(rows)
        with (self._folder / "history.jsonl").open(mode, encoding="utf-8") as file:
            file.writelines(json.dumps(dict(row)) + "\n" for row in rows)


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
