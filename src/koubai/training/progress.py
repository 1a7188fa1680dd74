"""The progress bar of a training, in terminals and notebooks."""

from time import perf_counter
from typing import Any

__all__ = ["Progress"]

_OFTEN = 0.1  # seconds between two looks at the loss


class Progress:
    """
    A bar with the loss, the accuracy, samples per second and the time left.

    Parameters
    ----------
    samples : int or None
        How many samples go through in all.
    done : int
        How many have already.
    shown : bool
        False for no bar; a file or a pipe instead of a terminal gets none anyway.
    """

    def __init__(self, samples: int | None, done: int, *, shown: bool) -> None:
        from tqdm.auto import tqdm  # noqa: PLC0415  (slow to import)

        # None is tqdm's own word for "not where nobody looks".
        disable = None if shown else True
        self._bar: Any = tqdm(
            total=samples, initial=done, disable=disable, unit=" samples", unit_scale=True
        )
        self._told: dict[str, str] = {}
        self._waiting = 0
        self._due = perf_counter() + _OFTEN

    def step(self, samples: int, loss: Any) -> None:
        """Go on by a batch; now and then look at the loss, for which a GPU is waited for."""
        self._waiting += samples
        now = perf_counter()
        if now >= self._due:
            self._due = now + _OFTEN
            if not self._bar.disable:
                self._told["loss"] = f"{float(loss):.4f}"
                self._bar.set_postfix(self._told, refresh=False)
            self._go_on()

    def epoch(self, number: int, row: dict[str, Any]) -> None:
        """Tell of an epoch."""
        self._go_on()
        if "test_accuracy" in row:
            self._told["accuracy"] = f"{row['test_accuracy']:.4f}"
        self._bar.set_description(f"epoch {number}", refresh=False)
        self._bar.set_postfix(self._told)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._go_on()
        self._bar.close()

    def _go_on(self) -> None:
        self._bar.update(self._waiting)
        self._waiting = 0
