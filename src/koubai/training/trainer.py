"""Trainer: the book's training loop, which can be watched, stopped, and gone on with."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from math import isfinite
from os import PathLike
from time import perf_counter
from typing import Any, Self

import numpy as np

from koubai.backend import device_of
from koubai.compile import compile_step
from koubai.errors import KoubaiError, TrainingError
from koubai.networks import Network
from koubai.networks.door import check_labels, check_targets
from koubai.networks.heard import gradient_and_loss
from koubai.optimizers import Optimizer
from koubai.saving import CheckpointFolder
from koubai.training.arguments import Event, at_least, chosen_optimizer, listeners
from koubai.training.batches import Batches
from koubai.training.divergence import first_bad_place
from koubai.training.evaluate import evaluate
from koubai.training.history import History
from koubai.training.interruption import Interruption
from koubai.training.prefetch import prefetch
from koubai.training.progress import Progress
from koubai.training.snapshot import Snapshot
from koubai.training.stream import as_batches
from koubai.training.tensorboard import scalars_to

__all__ = ["Trainer"]

_LOOK = 64  # steps between two looks at the losses, where that is to wait for a device


class Trainer:
    """
    Trains a network (the book's ``common/trainer.py``, and what it needs to run for days).

    Parameters
    ----------
    network : Network
        What learns; its device is where the steps run.
    x_train, t_train : Array
        The samples and labels to learn from: arrays of any library, on the host or the
        device, or mapped from a file. ``x_train`` may be batches, see
        `koubai.training.as_batches`; ``t_train`` is None then.
    x_test, t_test : Array, optional
        Those to be evaluated after each epoch.
    epochs : int
        How often all samples are gone through.
    mini_batch_size : int
        Samples in a batch. The last of an epoch has what is left.
    optimizer : str or Optimizer
        ``'SGD'``, ``'Momentum'``, ``'Nesterov'``, ``'AdaGrad'``, ``'RMSprop'``, ``'Adam'``
        or ``'AdamW'``, in any case; or an optimizer.
    optimizer_param : dict, optional
        Its arguments, where it is given by name; by default ``{'lr': 0.01}``.
    evaluate_sample_num_per_epoch : int, optional
        How many training and test samples are evaluated after an epoch; by default all.
    verbose : bool
        False for no progress bar and no words.
    rng : int or numpy.random.Generator, optional
        The source of the order of the samples.
    compiled : bool
        False to run each step as it is written, without `koubai.compile_step`.
    replacement, drop_last, transform
        As in `koubai.training.Batches`.
    metrics : dict of str to callable, optional
        Further functions of (scores, labels), told of each epoch as ``test_<name>``.
    callbacks : dict of str to callable or list of them, optional
        Plain functions of the trainer, by the event after which they are called:
        ``begin``, ``step``, ``epoch``, ``checkpoint``, ``end``. One that sets
        ``trainer.stop = True`` ends the training.
    patience : int, optional
        Stop when so many epochs in a row brought nothing better: a higher test accuracy, or
        for a regression a lower test loss.
    restore_best : bool
        Whether to end with the weights of the best epoch.
    checkpoint : str or Path, optional
        A folder for checkpoints. ``history.csv`` and ``history.jsonl`` are written there too.
    checkpoint_every : int, optional
        Steps between two checkpoints; by default one after each epoch.
    keep : int
        How many checkpoints stay; the best stays besides.
    resume : bool
        Whether to go on from the newest checkpoint in the folder, if there is one. What
        follows is what would have followed, to the last bit on NumPy.
    log : str or Path, optional
        A folder for the two history files, where it is not that of the checkpoints.
    tensorboard : str or Path, optional
        A folder for TensorBoard's scalars; needs tensorboard.

    Attributes
    ----------
    train_loss_list : list of float
        The loss of each step, before its update.
    train_acc_list, test_acc_list : list of float
        The accuracies after each epoch.
    history : History
        A dict of lists, one entry an epoch.
    step, epoch : int
        Steps and epochs that are done.
    batches, source
        What gives the batches, and what the steps take them from: the same, or what prepares
        them ahead.
    progress : dict
        The best result so far, and how many epochs ago it was.
    stop : bool
        Set it to end after the step that runs.
    interrupted : bool
        Whether Ctrl-C ended the training.

    Raises
    ------
    KoubaiError
        If options do not go together; if data are empty, do not belong together or have labels
        that the network has no output for; if the checkpoint is of another training.

    Examples
    --------
    >>> import numpy as np
    >>> import koubai
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((200, 2)).astype(np.float32)
    >>> t = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    >>> net = koubai.TwoLayerNet(2, 16, 2, weight_init_std=1.0, rng=0)
    >>> trainer = Trainer(net, x, t, x, t, epochs=30, mini_batch_size=20,
    ...                   optimizer="Adam", optimizer_param={"lr": 0.02}, verbose=False, rng=0)
    >>> _ = trainer.train()
    >>> trainer.test_acc_list[-1] > 0.9
    True
    """

    def __init__(
        self,
        network: Network,
        x_train: Any,
        t_train: Any,
        x_test: Any = None,
        t_test: Any = None,
        epochs: int = 20,
        mini_batch_size: int = 100,
        optimizer: str | Optimizer = "SGD",
        optimizer_param: Mapping[str, Any] | None = None,
        evaluate_sample_num_per_epoch: int | None = None,
        verbose: bool = True,  # noqa: FBT001, FBT002  (the book's signature)
        *,
        rng: "int | np.random.Generator | None" = None,
        compiled: bool = True,
        replacement: bool = False,
        drop_last: bool = False,
        transform: Any = None,
        metrics: Mapping[str, Callable[[Any, Any], Any]] | None = None,
        callbacks: Mapping[str, Any] | None = None,
        patience: int | None = None,
        restore_best: bool = False,
        checkpoint: str | PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        keep: int = 3,
        resume: bool = False,
        log: str | PathLike[str] | None = None,
        tensorboard: str | PathLike[str] | None = None,
    ) -> None:
        if network.device is None:
            raise KoubaiError("Trainer: the network has no parameters, so nothing learns.")
        self._place = network.device
        self._on_host = self._place.backend.name == "numpy"
        self.network = network
        self.optimizer = chosen_optimizer(optimizer, optimizer_param)
        self.epochs = at_least("epochs", epochs, 0)
        self.verbose = verbose
        self.patience = patience if patience is None else at_least("patience", patience, 1)
        self.restore_best = restore_best
        self.step = self.epoch = 0
        self.stop = self.interrupted = False
        self.train_loss_list: list[float] = []
        folder = checkpoint if log is None else log
        self.history = History(folder)
        self._metrics = dict(metrics or {})
        self._callbacks = listeners(callbacks)
        if tensorboard is not None:
            scalars_to(tensorboard, self._callbacks)
        self._classifies = getattr(network.last_layer, "classifies", False)
        self._every = (
            None if checkpoint_every is None else at_least("checkpoint_every", checkpoint_every, 1)
        )
        if checkpoint is None and (resume or checkpoint_every is not None):
            raise KoubaiError(
                "Trainer: resume and checkpoint_every need a folder: checkpoint='runs/a'."
            )
        self.batches = self._batches(
            x_train,
            t_train,
            mini_batch_size,
            {"rng": rng, "replacement": replacement, "drop_last": drop_last},
            transform,
        )
        self.source: Any = self.batches
        few = evaluate_sample_num_per_epoch
        self._data = _pair(x_train, t_train)
        self._parts = {
            "train": self._to_evaluate(self._data, few, transform),
            "test": self._to_evaluate(_pair(x_test, t_test), few, transform),
        }
        self._check_at_the_door({"train": self._data, "test": _pair(x_test, t_test)}, transform)
        self._folder = None if checkpoint is None else CheckpointFolder(checkpoint, keep)
        self._take_step = (
            compile_step(network, self.optimizer) if compiled else self._step_as_written
        )
        self.progress: dict[str, Any] = {"best": None, "since_best": 0}
        self._best_arrays: dict[str, Any] | None = None
        self._pending: list[Any] = []
        if self._folder is not None:
            self._begin_in(self._folder, resume=resume)

    @property
    def train_acc_list(self) -> list[float]:
        """The accuracy on the training samples after each epoch."""
        return self.history.get("train_accuracy", [])

    @property
    def test_acc_list(self) -> list[float]:
        """The accuracy on the test samples after each epoch."""
        return self.history.get("test_accuracy", [])

    def train(self) -> Self:
        """
        Train until the epochs are over, or something ends it.

        Returns
        -------
        Trainer
            The trainer itself.

        Raises
        ------
        TrainingError
            If the loss became NaN or infinite: in which step, and in which layer it first
            showed. The network and the optimizer are as they were at the epoch's begin or at
            the last checkpoint, whichever came later.
        LabelError, ShapeError, ...
            If a batch does not go with the network.
        """
        self.stop = self.interrupted = False
        self._good = Snapshot.of(self)
        bar = Progress(self._all_samples(), self._seen_samples(), shown=self.verbose)
        with Interruption() as self._interruption:
            try:
                self._call("begin")
                while self.epoch < self.epochs and not self.stop:
                    self._run_epoch(bar)
            finally:
                bar.close()
        if self.restore_best and self._best_arrays is not None:
            Snapshot.put_arrays(self, self._best_arrays)
        self._call("end")
        if self.interrupted:
            self._tell_how_to_go_on()
        return self

    def plot_history(self) -> Any:
        """
        Draw loss and accuracy.

        Returns
        -------
        matplotlib.figure.Figure
            ``trainer.plot_history().savefig("curves.png")`` keeps it.
        """
        return self.history.plot(self.train_loss_list)

    def save(self, *, best: bool = False) -> None:
        """
        Write a checkpoint now; the losses up to here are looked at first.

        Parameters
        ----------
        best : bool
            Whether it is the best so far.

        Raises
        ------
        TrainingError
            If a loss is no finite number; nothing is written then.
        CheckpointError
            If it cannot be written; earlier checkpoints are as they were.
        """
        if self._folder is None:
            raise KoubaiError("Trainer.save: there is no folder; Trainer(checkpoint='runs/a').")
        self._look_at_losses()
        self._good = Snapshot.of(self)
        self._folder.write(self.step, self._good.arrays, self._good.state, best=best)
        self._call("checkpoint")

    # One epoch, one step

    def _run_epoch(self, bar: Progress) -> None:
        begun, samples = perf_counter(), 0
        self.source = self._ahead()
        done = self.source.position if self._is_under_way() else 0
        first = len(self.train_loss_list) - done
        for x, t in () if self._is_over() else self.source:
            loss = self._take_step(x, t)
            self._pending.append(loss)
            self.step += 1
            samples += x.shape[0]
            if self._on_host or self.step % _LOOK == 0:
                self._look_at_losses()
            bar.step(x.shape[0], loss)
            self._call("step")
            if self._every is not None and self.step % self._every == 0:
                self.save()
            if (self._interruption.asked or self.stop) and not self._is_over():
                self._end_early()
                return
        self.interrupted = self._interruption.asked
        self.stop = self.stop or self.interrupted
        self._look_at_losses()
        seconds = perf_counter() - begun
        self.epoch += 1
        row = self._told(self.train_loss_list[first:], samples / max(seconds, 1e-9), seconds)
        self.history.add(row)
        bar.epoch(self.epoch, row)
        best = self._notice_best(row)
        if self._folder is not None and (self._every is None or best or self._is_last()):
            self.save(best=best)
        else:
            self._good = Snapshot.of(self)
        self._call("epoch")

    def _is_under_way(self) -> bool:
        """Tell whether the epoch was begun before, by a run that ended in the middle of it."""
        return int(self.source.epoch) == self.epoch

    def _is_over(self) -> bool:
        """Tell whether all batches of the epoch have been taken, though it was not evaluated."""
        try:
            return self._is_under_way() and int(self.source.position) >= len(self.source) > 0
        except TypeError:  # a stream does not know its length
            return False

    def _step_as_written(self, x: Any, t: Any) -> Any:
        grads, loss = gradient_and_loss(self.network, x, t)
        self.optimizer.update(self.network.params, grads)
        return loss

    def _end_early(self) -> None:
        self.interrupted, self.stop = self._interruption.asked, True
        if self._folder is not None:
            self.save()

    def _look_at_losses(self) -> None:
        """Bring the losses to the host, and see that they are numbers."""
        values = [float(loss) for loss in self._pending]
        self._pending.clear()
        for i, value in enumerate(values):
            if not isfinite(value):
                self._diverged(self.step - len(values) + i + 1, value)
        self.train_loss_list += values

    def _diverged(self, step: int, loss: float) -> None:
        """Go back to where all was well, come to the bad step again, and look at its layers."""
        good = self._good
        good.restore(self)
        place = "no layer, when it was run once more"
        for x, t in self._again():
            if self.step + 1 == step:
                place = first_bad_place(self.network, x, t)
                break
            self._take_step(x, t)
            self.step += 1
        good.restore(self)
        kept = f" The last good checkpoint is in {self._folder.path}." if self._folder else ""
        raise TrainingError(
            f"The loss is {loss} in step {step}; it first shows in {place}. The weights are those "
            f"of step {self.step} again.{kept} A smaller learning rate or ClipNorm helps where "
            "they grew too large."
        )

    def _again(self) -> Any:
        while True:
            yield from self.batches

    # After an epoch

    def _told(self, losses: list[float], speed: float, seconds: float) -> dict[str, Any]:
        row: dict[str, Any] = {"epoch": self.epoch, "step": self.step}
        row["train_loss"] = float(np.mean(losses)) if losses else None
        for name, data in self._parts.items():
            if data is None:
                continue
            wanted = {"accuracy": None} if self._classifies else {}
            metrics = wanted | (self._metrics if name == "test" else {})
            found = evaluate(self.network, data, metrics=metrics)
            loss = found.pop("loss")
            if name == "test":
                row["test_loss"] = loss
            row |= {
                f"{name}_{key}": value.tolist() if hasattr(value, "tolist") else value
                for key, value in found.items()
            }
        return row | {
            "lr": float(getattr(self.optimizer, "lr", float("nan"))),
            "samples_per_second": round(speed, 1),
            "seconds": round(seconds, 3),
        }

    def _notice_best(self, row: Mapping[str, Any]) -> bool:
        """Tell whether the epoch was the best; stop if the best is too long ago."""
        value = row.get("test_accuracy", -row["test_loss"] if "test_loss" in row else None)
        if value is None:
            return False
        best = self.progress["best"]
        if best is None or value > best:
            self.progress.update(best=value, since_best=0)
            if self.restore_best:
                self._best_arrays = Snapshot.of(self).arrays
            return True
        self.progress["since_best"] += 1
        if self.patience is not None and self.progress["since_best"] >= self.patience:
            self.stop = True
        return False

    def _is_last(self) -> bool:
        return self.epoch >= self.epochs or self.stop

    # Words, and callbacks

    def _call(self, event: Event) -> None:
        for callback in self._callbacks[event]:
            callback(self)

    def _tell_how_to_go_on(self) -> None:
        if not self.verbose:
            return
        how = "trainer.train() goes on."
        if self._folder is not None:
            how = f'Trainer(..., checkpoint="{self._folder.path}", resume=True) goes on.'
        print(f"Stopped after step {self.step}. {how}")  # noqa: T201  (it was asked for)

    # At the door

    def _batches(self, x: Any, t: Any, size: int, options: dict[str, Any], transform: Any) -> Any:
        place = self._place
        if hasattr(x, "load_state_dict"):  # batches already
            return as_batches(x, t)
        if t is None and not isinstance(x, tuple):
            return as_batches(x, device=place, transform=transform)
        data = x if t is None else (x, t)
        return as_batches(
            data, None, size, **options, device=place, transform=transform, reuse=True
        )

    def _ahead(self) -> Any:
        """Give the batches, prepared ahead where that takes more than a copy."""
        parts = self._data or ()
        mapped = any(isinstance(part, np.memmap) for part in parts)
        far = any(device_of(part) != self._place for part in parts)
        ahead = mapped or far or not isinstance(self.batches, Batches)
        return prefetch(self.batches) if ahead else self.batches

    def _to_evaluate(
        self, data: tuple[Any, Any] | None, count: int | None, transform: Any
    ) -> Batches | None:
        """Give the samples to be evaluated after an epoch, as batches on the device."""
        if data is None or count == 0:
            return None
        rows = None if count is None else np.arange(min(count, data[0].shape[0]))
        return Batches(
            *data, 1000, shuffle=False, rows=rows, device=self._place, transform=transform
        )

    def _check_at_the_door(self, parts: dict[str, tuple[Any, Any] | None], transform: Any) -> None:
        """See on one sample and on all labels that the data are for this network."""
        for name, data in parts.items():
            if data is None:
                continue
            x, t = data
            sample, label = (self._place.asarray(part[:1, ...]) for part in (x, t))
            if transform is not None:
                sample, label = transform(sample, label)
            twin = self.network.copy()
            y = twin.predict(sample)
            owner = f"Trainer: {name} data, {type(twin.last_layer).__name__}"
            if not self._classifies:
                check_targets(owner, label)
            elif transform is None:
                check_labels(owner, t, (t.shape[0], *y.shape[1:]))

    def _begin_in(self, folder: CheckpointFolder, *, resume: bool) -> None:
        newest = folder.newest()
        if newest is None:
            return
        if not resume:
            raise KoubaiError(
                f"Trainer: {folder.path} has checkpoints of a training already, the last of step "
                f"{newest.step}. resume=True goes on with it; another folder begins anew."
            )
        Snapshot(newest.arrays, newest.state).restore(self)

    def _all_samples(self) -> int | None:
        with suppress(AttributeError, TypeError, KoubaiError):
            return self.epochs * int(self.batches.samples)
        return None

    def _seen_samples(self) -> int:
        with suppress(AttributeError, TypeError):
            samples = int(self.batches.samples)
            seen = min(int(self.batches.position * self.batches.batch_size), samples)
            return self.epoch * samples + (seen if self._is_under_way() else 0)
        return 0


def _pair(x: Any, t: Any) -> tuple[Any, Any] | None:
    """Give samples and labels, where they are arrays."""
    if isinstance(x, tuple) and len(x) == 2 and t is None:
        x, t = x
    return None if t is None or device_of(x) is None else (x, t)
