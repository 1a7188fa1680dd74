"""evaluate: the loss and the metrics of a network over a whole data set, in batches."""

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from math import fsum, isfinite, prod
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from koubai.arrays import describe
from koubai.backend import device_of, to_numpy
from koubai.errors import KoubaiError
from koubai.networks import Network
from koubai.networks.door import check_labels, check_targets
from koubai.training.batches import Batches
from koubai.training.metrics import confusion_matrix, hits, top_k_hits
from koubai.training.position import pair, whole
from koubai.typing import Array, Shape

__all__ = ["Metric", "evaluate"]

Metric: TypeAlias = Callable[[Array, Array], Array | float]
"""``metric(y, t)`` of a batch: its mean over the samples."""

Result: TypeAlias = "float | npt.NDArray[np.int64]"


def evaluate(
    network: Network,
    data: Any,
    t: Array | None = None,
    *,
    batch_size: int = 1000,
    metrics: Iterable[str] | Mapping[str, Metric | None] | None = None,
) -> dict[str, Result]:
    """
    Give the loss and other metrics of a network, over all samples.

    Parameters
    ----------
    network : Network
        The network. Its last layer keeps the loss of training; the other layers keep what
        the last batch left in them.
    data : Array, pair of arrays, `Batches`, or iterable of pairs
        The samples, on the device of the network. `Batches` are gone through in the order
        of their data, whatever their own, and stay where they are in their epoch.
    t : Array, optional
        Labels or targets, where ``data`` is an array.
    batch_size : int
        How many samples are on their way at once, where they are cut into batches here.
    metrics : names, or a mapping of names to functions or None
        ``accuracy``, ``top_5_accuracy`` with any number, ``confusion_matrix``; of other
        names the function ``(y, t) -> mean over the batch``. By default the accuracy, of a
        network that classifies.

    Returns
    -------
    dict
        ``loss`` and each metric by its name: floats, in which each sample counts the same,
        and the confusion matrix as a NumPy array of integers.

    Raises
    ------
    KoubaiError
        If there are no samples, a metric is not known, or one of classes is asked of a
        regression.
    LabelError
        If a label is out of range or no number.
    MixedArraysError, ShapeError, DTypeError
        If the data do not go with the network.

    Examples
    --------
    >>> import numpy as np
    >>> import koubai
    >>> from koubai.training import evaluate
    >>> net = koubai.TwoLayerNet(4, 8, 2, weight_init_std=0.0, device="cpu", rng=0)
    >>> x, t = np.zeros((5, 4), dtype=np.float32), np.asarray([0, 0, 0, 1, 1])
    >>> found = evaluate(net, x, t, batch_size=2, metrics=["accuracy", "confusion_matrix"])
    >>> round(found["loss"], 4), found["accuracy"]
    (0.6931, 0.6)
    >>> found["confusion_matrix"]
    array([[3, 0],
           [2, 0]])
    """
    tallies = _tallies(network, metrics)
    last_layer = copy.copy(network.last_layer)
    losses = _Mean()
    waiting: tuple[Array, Array, Shape] | None = None
    for x, target in _pairs(data, t, whole("evaluate", "batch_size", batch_size)):
        y = network.predict(x)
        loss, n = last_layer.forward(y, target), last_layer.n
        losses.add(loss, n)
        for tally in tallies.values():
            tally.take(y, target, n)
        # Read one batch later, so that a device always has the next one to work on.
        if waiting is not None:
            _look(network, *waiting)
        waiting = loss, target, y.shape
    if waiting is None:
        raise KoubaiError("evaluate: there are no samples. An iterator can be used only once.")
    _look(network, *waiting)
    return {"loss": losses.read()} | {name: tally.read() for name, tally in tallies.items()}


class _Mean:
    """A mean over samples, of what batches give."""

    def __init__(self) -> None:
        self._parts: list[tuple[Array | float, int]] = []
        self._samples = 0

    def add(self, mean: Array | float, n: int) -> None:
        self._parts.append((mean, n))
        self._samples += n

    def add_count(self, count: Array, n: int) -> None:
        self._parts.append((count, 1))
        self._samples += n

    def read(self) -> float:
        return fsum(float(value) * weight for value, weight in self._parts) / self._samples


class _Hits(_Mean):
    """The part of the samples that are hit, from their exact number."""

    def __init__(self, count: Metric) -> None:
        super().__init__()
        self._count = count

    def take(self, y: Array, t: Array, n: int) -> None:
        del n
        self.add_count(cast(Array, self._count(y, t)), prod(y.shape[:-1]))


class _Custom(_Mean):
    """A metric of the user."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._metric = metric

    def take(self, y: Array, t: Array, n: int) -> None:
        self.add(self._metric(y, t), n)


class _Confusion:
    """A confusion matrix, summed where the scores are."""

    def __init__(self) -> None:
        self._total: Array | None = None

    def take(self, y: Array, t: Array, n: int) -> None:
        del n
        found = confusion_matrix(y, t)
        self._total = found if self._total is None else self._total + found

    def read(self) -> npt.NDArray[np.int64]:
        return to_numpy(cast(Array, self._total)).astype(np.int64)


_Tally: TypeAlias = _Hits | _Custom | _Confusion


def _tallies(
    network: Network, metrics: Iterable[str] | Mapping[str, Metric | None] | None
) -> dict[str, _Tally]:
    classifies = bool(getattr(network.last_layer, "classifies", False))
    if metrics is None:
        metrics = ("accuracy",) if classifies else ()
    if isinstance(metrics, str):
        raise KoubaiError(f"evaluate: metrics is a string; a list is wanted: [{metrics!r}].")
    own = metrics if isinstance(metrics, Mapping) else dict.fromkeys(metrics)
    tallies: dict[str, _Tally] = {}
    for name, metric in own.items():
        if name == "loss":
            continue  # it is there in any case
        found = _known(name) if metric is None else _Custom(metric)
        if metric is None and not classifies:
            raise KoubaiError(
                f"evaluate: {network.last_layer!r} ends a regression, which has no {name}. Look "
                "at the loss, or give a function (y, t) of your own."
            )
        tallies[name] = found
    return tallies


def _known(name: str) -> _Tally:
    if name == "accuracy":
        return _Hits(hits)
    if name == "confusion_matrix":
        return _Confusion()
    if found := re.fullmatch(r"top_(\d+)_accuracy", name):
        return _Hits(partial(top_k_hits, k=int(found[1])))
    raise KoubaiError(
        f"evaluate: there is no metric {name!r}. There are accuracy, top_5_accuracy (with any "
        "number) and confusion_matrix; a mapping of names to functions (y, t) gives others."
    )


def _pairs(data: Any, t: Array | None, batch_size: int) -> Iterator[tuple[Array, Array]]:
    if t is None and isinstance(data, tuple) and len(data) == 2 and all(map(device_of, data)):
        data, t = data
    if t is not None:
        return Batches(data, t, batch_size, shuffle=False).in_order()
    if device_of(data) is not None:
        raise KoubaiError("evaluate: x is an array, but there is no t to go with it.")
    if isinstance(data, Batches):
        return data.in_order()
    if not isinstance(data, Iterable):
        raise KoubaiError(
            f"evaluate: {describe(data)} is no data. Give arrays x and t, Batches, or an iterable "
            "of pairs (x, t)."
        )
    return (pair("evaluate", found) for found in data)


def _look(network: Network, loss: Array, t: Array, shape: Shape) -> None:
    """Read a loss on the host, and look at the labels if it is no finite number."""
    if isfinite(float(loss)):
        return
    owner = type(network.last_layer).__name__
    if getattr(network.last_layer, "classifies", False):
        check_labels(owner, t, shape)
    else:
        check_targets(owner, t)
