"""StreamBatches: batches that something else makes, with a place to go on from."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, cast

from koubai.backend import Device, device_of
from koubai.backend import device as select_device
from koubai.errors import KoubaiError
from koubai.training.batches import Batches
from koubai.training.position import BatchSource, Transform, pair, take_in, transformed
from koubai.typing import Array

__all__ = ["StreamBatches", "as_batches"]

_Pairs: TypeAlias = Iterable[tuple[Array, Array]]


class StreamBatches:
    """
    Batches from any iterable of pairs (x, t): each ``for`` over it is one epoch.

    Parameters
    ----------
    source : iterable, or callable of an int
        Gives pairs of arrays. An iterable is run through once an epoch; a callable gives
        the iterable of the epoch whose number it is handed. An iterator has one epoch.
    device : str or Device, optional
        Where the batches are wanted, as in `koubai.device`; by default as they come.
    transform : callable, optional
        ``transform(x, t) -> (x, t)`` of each batch on its device.

    Raises
    ------
    KoubaiError
        If the source is neither, or gives something else than batches.

    Attributes
    ----------
    epoch : int
        The number of the epoch, from 0.
    position : int
        How many batches of the epoch have been handed out.

    Notes
    -----
    To go on in the middle of an epoch, the batches before are drawn from the source and
    dropped. They are the batches of the run before only if the source gives them again:
    one that shuffles does so as a callable that seeds itself by the number of the epoch.

    Examples
    --------
    >>> import numpy as np
    >>> from koubai.training import StreamBatches
    >>> def epoch(number):
    ...     rng = np.random.default_rng(number)
    ...     for _ in range(3):
    ...         yield rng.random((2, 4)), rng.integers(0, 10, 2)
    >>> batches, again = StreamBatches(epoch), StreamBatches(epoch)
    >>> first, *rest = batches
    >>> again.load_state_dict({"epoch": 0, "position": 1})
    >>> [t.tolist() for _, t in again] == [t.tolist() for _, t in rest]
    True
    """

    def __init__(
        self,
        source: _Pairs | Callable[[int], _Pairs],
        *,
        device: str | Device | None = None,
        transform: Transform | None = None,
    ) -> None:
        if not callable(source) and not isinstance(source, Iterable):
            raise KoubaiError(
                f"StreamBatches: {source!r} is neither an iterable of pairs (x, t) nor a function "
                "that gives one. Of two arrays koubai.training.Batches(x, t) makes batches."
            )
        self._source = source
        self.device = None if device is None else select_device(device)
        self._transform = transform
        self.epoch = 0
        self.position = 0
        self._open: Iterator[tuple[Array, Array]] | None = None
        self._at = 0, 0  # where the open iterator stands: its epoch, and its next batch
        self._done = False

    def __len__(self) -> int:
        """Give the number of batches in an epoch, where the source can tell."""
        return len(cast(Any, self._source))

    def __repr__(self) -> str:
        return f"StreamBatches({self._source!r}): epoch {self.epoch}, position {self.position}"

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        """Give the batches that are left of the epoch; of the next one, if none is left."""
        epoch, handed = self.epoch, False
        while self.epoch == epoch:
            found = next(self._opened(), None)
            if found is not None:
                self._at = epoch, self._at[1] + 1
                batch = self._finished(*pair("StreamBatches", found))
                self.position += 1
                handed = True
                yield batch
                continue
            self._require_some()
            self._open = None
            self.epoch, self.position = self.epoch + 1, 0
            epoch += 0 if handed else 1

    def state_dict(self) -> dict[str, Any]:
        """
        Tell where the batches stand.

        Returns
        -------
        dict of str to int
            The epoch, and the position within it.
        """
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """
        Go on where other batches stood.

        Parameters
        ----------
        state : mapping
            What their `state_dict` gave.

        Raises
        ------
        KoubaiError
            If it is no such state.
        """
        keys = "epoch", "position"
        self.epoch, self.position = take_in("StreamBatches", state, {}, keys, most=-1)

    def _opened(self) -> Iterator[tuple[Array, Array]]:
        """Give the iterator of the epoch, with what comes before the position dropped."""
        if self._open is None or self._at[0] != self.epoch or self._at[1] > self.position:
            self._open = self._fresh()
            self._at = self.epoch, 0
        while self._at[1] < self.position:
            if next(self._open, None) is None:
                raise KoubaiError(
                    f"StreamBatches: the source ended after {self._at[1]} batches of epoch "
                    f"{self.epoch}, before the position {self.position} that is to be gone on "
                    "from. It must give the batches of the run before again."
                )
            self._at = self.epoch, self._at[1] + 1
        return self._open

    def _fresh(self) -> Iterator[tuple[Array, Array]]:
        source: Any = self._source(self.epoch) if callable(self._source) else self._source
        if not isinstance(source, Iterable):
            raise KoubaiError(
                f"StreamBatches: the source gave {source!r} for epoch {self.epoch}, but an "
                "iterable of pairs (x, t) is wanted."
            )
        if source is self._source and isinstance(source, Iterator):
            if self._done:
                raise KoubaiError(
                    "StreamBatches: an iterator runs once, and cannot go back or begin again. "
                    "Give a list, an object whose __iter__ begins anew, or a function of the "
                    "number of the epoch that gives its iterable."
                )
            self._done = True
        return iter(source)

    def _require_some(self) -> None:
        if self._at[1] == 0:
            raise KoubaiError(
                f"StreamBatches: the source gave no batch at all in epoch {self.epoch}. If it is "
                "an iterator that has been used already, make a new one for each epoch."
            )

    def _finished(self, x: Array, t: Array) -> tuple[Array, Array]:
        if self.device is not None:
            x, t = self.device.asarray(x), self.device.asarray(t)
        return transformed("StreamBatches", self._transform, x, t)


def as_batches(
    data: Any,
    t: Array | None = None,
    batch_size: int = 100,
    **options: Any,
) -> BatchSource:
    """
    Make batches of whatever they can be made of.

    Parameters
    ----------
    data : Array, pair of arrays, batches, iterable, or callable of an int
        Samples, with ``t`` their labels; or both as a pair; or batches, which are given
        back as they are; or what `StreamBatches` takes.
    t : Array, optional
        Labels or targets, where ``data`` is an array.
    batch_size : int
        Samples in a batch, where it is cut here.
    **options
        Of `Batches` or of `StreamBatches`.

    Returns
    -------
    BatchSource
        `Batches`, `StreamBatches`, or what was given.

    Raises
    ------
    KoubaiError
        If it is nothing of that, or labels are missing or given twice.

    Examples
    --------
    >>> import numpy as np
    >>> from koubai.training import as_batches
    >>> as_batches(np.zeros((6, 2)), np.zeros(6), batch_size=3, shuffle=False)
    Batches(6 samples in order, 2 batches of 3 on numpy): epoch 0, position 0
    """
    if t is not None:
        return Batches(data, t, batch_size, **options)
    if isinstance(data, tuple) and len(data) == 2 and all(device_of(each) for each in data):
        return Batches(data[0], data[1], batch_size, **options)
    if device_of(data) is not None:
        raise KoubaiError("as_batches: x is an array, but there is no t to go with it.")
    if hasattr(data, "load_state_dict") and hasattr(data, "position"):
        if options:
            raise KoubaiError(
                f"as_batches: {', '.join(options)} cannot be given to what is batches already. "
                "Give it where they are made."
            )
        return cast(BatchSource, data)
    return StreamBatches(data, **options)
