"""TensorBoard's scalars, written by callbacks."""

from os import PathLike, fspath
from typing import Any

from koubai.errors import KoubaiError

__all__ = ["scalars_to"]


def scalars_to(folder: str | PathLike[str], callbacks: dict[Any, list[Any]]) -> None:
    """
    Write each epoch's numbers for TensorBoard.

    Parameters
    ----------
    folder : str or Path
        TensorBoard's log directory.
    callbacks : dict of str to list of callable
        Those of a `Trainer`; what writes is added to them.

    Raises
    ------
    KoubaiError
        If tensorboard is not installed.
    """
    try:
        from tensorboard.summary import Writer  # noqa: PLC0415  (no dependency)
    except ImportError as error:
        raise KoubaiError(
            "Trainer: tensorboard=... needs tensorboard, which is not installed: "
            "pip install tensorboard."
        ) from error
    writer = Writer(fspath(folder))

    def write(trainer: Any) -> None:
        for name, value in trainer.history.row().items():
            if isinstance(value, float):
                writer.add_scalar(name, value, trainer.step)
        writer.flush()

    callbacks["epoch"].append(write)
    callbacks["end"].append(lambda _: writer.flush())
