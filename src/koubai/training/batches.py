"""Batches: an epoch of mini-batches at a time, each sample once, from wherever the data lie."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from koubai.arrays import describe, shared_namespace
from koubai.backend import Device, device_of
from koubai.backend import device as select_device
from koubai.errors import KoubaiError, MixedArraysError, NotAnArrayError, ShapeError
from koubai.training.gather import DeviceRows, HostRows
from koubai.training.order import REPLACEMENT, Order, checked_rows, draw_order, order_of
from koubai.training.position import Rng, State, Transform, take_in, transformed, whole
from koubai.typing import Array

__all__ = ["Batches"]

_Read: TypeAlias = Callable[[Any, int, int], tuple[Array, Array]]


class Batches:
    """
    Mini-batches of a data set: each ``for`` over it is one epoch.

    In an epoch every sample comes once, in a new order. (The book draws each batch anew,
    and 37 % of the samples do not come up in what it calls an epoch; that is
    ``replacement=True``.) A loop that was broken off is gone on with by the next one: the
    place is ``epoch`` and ``position``, and what comes next depends on nothing else.

    Parameters
    ----------
    x : Array, shape (n, ...)
        Samples, of any library on any device, or mapped from a file (``numpy.memmap``), of
        which only the rows of a batch are read. Batches are gathered where the data lie.
    t : Array, shape (n, ...)
        Their labels or targets, there too.
    batch_size : int
        Samples in a batch; the last batch of an epoch may have fewer.
    rng : int, numpy.random.Generator or None
        From which one number is drawn, the seed of all orders; they are the same on every
        device.
    shuffle : bool
        False for the order of the data.
    replacement : bool
        True for batches that are drawn from all samples anew; all are of full size.
    drop_last : bool
        True to leave a last batch away that is not full.
    device : str or Device, optional
        Where the batches are wanted, as in `koubai.device`; by default where the data lie.
    rows : integers, shape (m,), optional
        Only these rows of the data are used, such as those that `split_rows` gives.
    transform : callable, optional
        ``transform(x, t) -> (x, t)`` of each batch on its device, such as one that makes
        floating-point numbers of bytes.
    reuse : bool
        True to fill the same NumPy arrays again: a batch holds only until the next one. It
        halves the time for batches above some 32 MB, where new memory is dear, and gains
        nothing for small ones. For a loop that keeps no batch.

    Raises
    ------
    NotAnArrayError
        If x or t is no array of numbers.
    MixedArraysError
        If x and t are of different libraries or on different devices.
    ShapeError
        If there are no samples, not as many labels, or rows are no indices of them.
    KoubaiError
        If the options do not go together, or there would be no batch.

    Attributes
    ----------
    samples : int
        The number of samples: n, or m.
    batch_size : int
        The number of samples in a batch.
    device : Device
        Where the batches come out.
    epoch : int
        The number of the epoch, from 0.
    position : int
        How many batches of the epoch have been handed out, up to ``len(batches)``.

    Examples
    --------
    >>> import numpy as np
    >>> from koubai.training import Batches
    >>> x = np.arange(10.0).reshape(5, 2)
    >>> batches = Batches(x, np.arange(5), batch_size=2, rng=0)
    >>> len(batches)
    3
    >>> [t.tolist() for _, t in batches], [t.tolist() for _, t in batches]
    ([[3, 2], [0, 4], [1]], [[2, 1], [0, 3], [4]])
    """

    def __init__(
        self,
        x: Array,
        t: Array,
        batch_size: int = 100,
        *,
        rng: Rng = None,
        shuffle: bool = True,
        replacement: bool = False,
        drop_last: bool = False,
        device: str | Device | None = None,
        rows: Array | npt.NDArray[np.integer[Any]] | None = None,
        transform: Transform | None = None,
        reuse: bool = False,
    ) -> None:
        home = _home(x, t)
        self._rows = checked_rows(rows, x.shape[0])
        self.samples = x.shape[0] if self._rows is None else len(self._rows)
        self.batch_size = whole("Batches", "batch_size", batch_size)
        self._order = order_of(shuffle=shuffle, replacement=replacement)
        self._drop_last = drop_last
        self._require_batches()
        self.device = home if device is None else select_device(device)
        self._moves = self.device != home
        self._transform = transform
        self._host = home.backend.name == "numpy"
        self._x, self._t = (HostRows(a) if self._host else DeviceRows(a, home) for a in (x, t))
        self.held = 1 if reuse else 0
        self._seed = int(np.random.default_rng(rng).integers(2**63))
        self.epoch = 0
        self.position = 0
        self._drawn: tuple[int, int, Any] | None = None  # a seed, an epoch, and its order
        if self._moves:  # what the device lacks, such as float64, shows at the door
            self.device.asarray(x[:0, ...])

    def __len__(self) -> int:
        """Give the number of batches in an epoch."""
        full, rest = divmod(self.samples, self.batch_size)
        return full + (1 if rest and not self._drop_last else 0)

    def __repr__(self) -> str:
        return (
            f"Batches({self.samples:,} samples {self._order}, {len(self):,} batches of "
            f"{self.batch_size} on {self.device}): epoch {self.epoch}, position {self.position}"
        )

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        """Give the batches that are left of the epoch; of the next one, if none is left."""
        if self.position >= len(self):
            self._turn()
        epoch, read = self.epoch, self._reader()
        while self.epoch == epoch and self.position < len(self):
            start = self.position * self.batch_size
            order = self._epoch_order()
            batch = read(order, start, min(start + self.batch_size, order.shape[0]))
            self.position += 1
            yield batch
        if self.epoch == epoch:
            self._turn()

    def in_order(self, batch_size: int | None = None) -> Iterator[tuple[Array, Array]]:
        """
        Give every sample once, in the order of the data; the epoch under way stays as it is.

        Parameters
        ----------
        batch_size : int, optional
            Samples in a batch; by default as ever.

        Yields
        ------
        tuple of two arrays
            A batch; the last one is there even where it is not full.
        """
        size = (
            self.batch_size if batch_size is None else whole("in_order", "batch_size", batch_size)
        )
        order = self._x.begin(self._all_rows())
        for start in range(0, self.samples, size):
            yield self._finished(
                *(a.take(order, start, min(start + size, self.samples)) for a in (self._x, self._t))
            )

    def state_dict(self) -> dict[str, Any]:
        """
        Tell where the batches stand, in words and integers only.

        Returns
        -------
        dict
            To be given to `load_state_dict` of batches made of the same data in the same
            way; it goes through JSON.
        """
        return self._way() | {"seed": self._seed, "epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """
        Go on where other batches stood: the next batch is the one that they had next.

        Parameters
        ----------
        state : mapping
            What their `state_dict` gave.

        Raises
        ------
        KoubaiError
            If it is no such state, or that of other data or another batch size.
        """
        place = take_in("Batches", state, self._way(), ("seed", "epoch", "position"), len(self))
        self._seed, self.epoch, self.position = place

    def _way(self) -> State:
        return {
            "samples": self.samples,
            "batch_size": self.batch_size,
            "order": self._order,
            "drop_last": self._drop_last,
        }

    def _turn(self) -> None:
        self.epoch += 1
        self.position = 0

    def _all_rows(self) -> Order:
        return np.arange(self.samples) if self._rows is None else self._rows

    def _epoch_order(self) -> Any:
        now = self._seed, self.epoch
        if self._drawn is None or self._drawn[:2] != now:
            draws = len(self) * self.batch_size
            order = draw_order(self._order, *now, samples=self.samples, draws=draws)
            chosen = order if self._rows is None else self._rows[order]
            self._drawn = *now, self._x.begin(chosen)
        return self._drawn[2]

    def _reader(self) -> _Read:
        """Give the function that reads a batch, with the arrays that it fills if it does."""
        # Bringing a batch elsewhere copies it, and what it is copied from is free again.
        held = 1 if self._moves else self.held
        if not (isinstance(self._x, HostRows) and isinstance(self._t, HostRows) and held):
            return lambda *part: self._finished(self._x.take(*part), self._t.take(*part))
        x, t, size = self._x, self._t, min(self.batch_size, self._most_rows())
        ring = [(x.buffer(size), t.buffer(size)) for _ in range(held)]

        def read(order: Any, start: int, stop: int) -> tuple[Array, Array]:
            ring.append(ring.pop(0))
            x_out, t_out = ring[-1]
            return self._finished(
                x.take(order, start, stop, x_out), t.take(order, start, stop, t_out)
            )

        return read

    def _most_rows(self) -> int:
        return self.batch_size if self._order == REPLACEMENT else self.samples

    def _finished(self, x: Array, t: Array) -> tuple[Array, Array]:
        if self._moves:
            x, t = self.device.asarray(x), self.device.asarray(t)
        if self._transform is None:
            return x, t
        with self.device.backend.scope(self.device.name):
            return transformed("Batches", self._transform, x, t)

    def _require_batches(self) -> None:
        if len(self) == 0:
            raise KoubaiError(
                f"Batches: with drop_last and batch_size={self.batch_size} there is no batch at "
                f"all in {self.samples} samples. Take smaller batches, or drop_last=False."
            )


def _home(x: Array, t: Array) -> Device:
    """See that x and t belong together, and tell where they lie."""
    shared_namespace("Batches", {"t": t, "x": x})
    places = {"t": device_of(t), "x": device_of(x)}
    for name, array in (("x", x), ("t", t)):
        if places[name] is None:
            raise NotAnArrayError(
                f"Batches: {name} is {describe(array)}, which holds no numbers. Turn the samples "
                "into numbers first."
            )
    if places["x"] != places["t"]:
        raise MixedArraysError(f"Batches: x lies on {places['x']}, but t on {places['t']}.")
    if x.ndim == 0 or x.shape[0] == 0 or t.shape[:1] != x.shape[:1]:
        raise ShapeError(
            f"Batches: x has the shape {tuple(x.shape)} and t {tuple(t.shape)}; the same number of "
            "samples is wanted along their first axis, and at least one."
        )
    return cast(Device, places["x"])
