"""prefetch: the next batch is made and moved while the step of this one runs."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, cast

from koubai.errors import KoubaiError
from koubai.training.position import whole

__all__ = ["Prefetch", "prefetch"]

_T = TypeVar("_T")
_PATIENCE = 10.0  # seconds for which a loop that is left waits for the batch under way


def prefetch(iterable: Iterable[_T], size: int = 2) -> "Prefetch[_T]":
    """
    Prepare what comes next in a thread, while the loop works on what it has.

    Parameters
    ----------
    iterable : iterable
        Such as `Batches`. Each ``for`` runs through it once, in a thread of its own. It
        must not write over what it gave; `Batches` with ``reuse`` have arrays enough.
    size : int
        How many are prepared ahead.

    Returns
    -------
    Prefetch
        An iterable of the same things in the same order.

    Raises
    ------
    KoubaiError
        If size is below 1, or it is no iterable.

    Examples
    --------
    >>> import numpy as np
    >>> from koubai.training import Batches, prefetch
    >>> batches = prefetch(Batches(np.zeros((5, 2)), np.arange(5), batch_size=2, rng=0))
    >>> [t.tolist() for _, t in batches]
    [[3, 2], [0, 4], [1]]
    """
    return Prefetch(iterable, size)


@dataclass
class _Item:
    """What the thread hands over: a value, or an end; and where the source stood then."""

    value: Any = None
    state: Any = None
    ended: bool = False
    error: BaseException | None = None


_END = _Item(ended=True)


class Prefetch(Generic[_T]):
    """
    An iterable whose next items are made by a thread; see `prefetch`.

    Its place is that of what the loop has got, not of what is prepared: as long as it runs,
    ask it and not what it is made of. When a loop is left early, the thread ends, and what
    it is made of goes back to that place.

    Parameters
    ----------
    iterable : iterable
        As for `prefetch`.
    size : int
        How many are prepared ahead.
    """

    def __init__(self, iterable: Iterable[_T], size: int = 2) -> None:
        if not isinstance(iterable, Iterable):
            raise KoubaiError(f"prefetch: {iterable!r} cannot be iterated over.")
        self._source = cast(Any, iterable)
        self._size = whole("prefetch", "size", size)
        self._keeps_place = hasattr(iterable, "state_dict")
        self._state: Any = None
        self._running = False
        held = getattr(self._source, "held", 0)
        if held:  # those ahead, the one that the loop works on, and the one before
            self._source.held = max(held, self._size + 2)

    def __len__(self) -> int:
        """Give the number of items of an epoch, where the source can tell."""
        return len(self._source)

    def __repr__(self) -> str:
        return f"prefetch({self._source!r}, size={self._size})"

    def __getattr__(self, name: str) -> Any:
        """Give the attributes of what it is made of, such as ``samples``."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._source, name)

    @property
    def epoch(self) -> int:
        """The number of the epoch, from 0."""
        return int(self.state_dict()["epoch"])

    @property
    def position(self) -> int:
        """How many batches of the epoch the loop has got."""
        return int(self.state_dict()["position"])

    def state_dict(self) -> dict[str, Any]:
        """
        Tell where the loop stands, whatever is prepared ahead.

        Returns
        -------
        dict
            As `Batches.state_dict` gives it.

        Raises
        ------
        KoubaiError
            If what it is made of keeps no place.
        """
        self._require_place()
        return cast(dict[str, Any], self._state if self._running else self._source.state_dict())

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
            If it is no such state, or a loop is running.
        """
        self._require_place()
        self._require_rest()
        self._source.load_state_dict(state)

    def __iter__(self) -> Iterator[_T]:
        """Give what the source gives."""
        self._require_rest()
        self._running = True
        self._state = self._source.state_dict() if self._keeps_place else None
        worker = _Worker(self._made, self._size, _switches(self._source))
        finished = False
        try:
            worker.start()
            while True:
                item = worker.get()
                finished = item.ended
                if finished:
                    return
                if item.error is not None:
                    raise item.error
                self._state = item.state
                yield item.value
        finally:
            self._running = False
            stopped = worker.stop()
            if self._keeps_place and stopped and not finished:
                self._source.load_state_dict(self._state)

    def _made(self) -> Iterator[_Item]:
        source, keeps_place = self._source, self._keeps_place
        for value in source:
            yield _Item(value, source.state_dict() if keeps_place else None)

    def _require_place(self) -> None:
        if not self._keeps_place:
            raise KoubaiError(
                f"prefetch: {self._source!r} keeps no place to go on from. "
                "koubai.training.StreamBatches(...) counts the batches of an iterable."
            )

    def _require_rest(self) -> None:
        if self._running:
            raise KoubaiError(
                "prefetch: a loop over it is running. Let it end, or close its iterator, before "
                "another one begins."
            )


class _Worker:
    """A thread that fills a queue from an iterator, never more than ``size`` ahead."""

    def __init__(
        self,
        made: Callable[[], Iterator[_Item]],
        size: int,
        switches: AbstractContextManager[object],
    ) -> None:
        self._made = made
        self._switches = switches
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._room = threading.Semaphore(size)
        self._stopping = threading.Event()
        run = copy_context().run
        self._thread = threading.Thread(
            target=run, args=(self._work,), name="koubai prefetch", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def get(self) -> _Item:
        item = self._queue.get()
        self._room.release()
        return item

    def stop(self) -> bool:
        """End the thread; tell whether it has ended."""
        self._stopping.set()
        self._room.release()
        # A garbage collector may close the iterator in any thread, even in this one.
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(_PATIENCE)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            with self._switches:
                items = self._made()
                while self._has_room():
                    item = next(items, _END)
                    self._queue.put(item)
                    if item.ended:
                        return
        except BaseException as error:  # noqa: BLE001  (the loop raises it)
            self._queue.put(_Item(error=error))

    def _has_room(self) -> bool:
        self._room.acquire()
        return not self._stopping.is_set()


def _switches(source: object) -> AbstractContextManager[object]:
    """Give what switches float64 on in another thread, if it is on in this one."""
    place: Any = getattr(source, "device", None)
    on = place is not None and "float64" in place.backend.dtypes(place.name)
    return place.backend.float64() if on else nullcontext()
