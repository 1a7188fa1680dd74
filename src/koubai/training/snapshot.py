"""Snapshot: all that makes a training what it is, to be kept and put back."""

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from koubai.backend import to_numpy
from koubai.errors import KoubaiError
from koubai.networks import Network
from koubai.networks.parameters import locate, locate_state
from koubai.saving import describe, load_weights

if TYPE_CHECKING:
    from koubai.training.trainer import Trainer

__all__ = ["Snapshot"]


@dataclass(frozen=True)
class Snapshot:
    """
    The state of a training.

    Attributes
    ----------
    arrays : dict of str to numpy.ndarray
        Parameters (``network.W1``), the optimizer's arrays (``optimizer.v.W1``), and the
        losses.
    state : dict
        All else: steps, epochs, the place in the data, the history, numbers.
    """

    arrays: dict[str, Any]
    state: dict[str, Any]

    @classmethod
    def of(cls, trainer: "Trainer") -> "Snapshot":
        """Take one, of copies on the host."""
        optimizer = _state_of(trainer.optimizer)
        numbers = {key: value for key, value in optimizer.items() if not hasattr(value, "dtype")}
        arrays = {
            f"optimizer.{key}": np.array(to_numpy(value))
            for key, value in optimizer.items()
            if hasattr(value, "dtype")
        }
        arrays |= network_arrays(trainer.network)
        arrays["losses"] = np.asarray(trainer.train_loss_list, dtype=np.float64)
        source = trainer.source
        return cls(
            arrays,
            {
                "step": trainer.step,
                "epoch": trainer.epoch,
                "optimizer": {"kind": type(trainer.optimizer).__name__, "numbers": numbers},
                "batches": source.state_dict(),
                "history": copy.deepcopy(dict(trainer.history)),
                "progress": dict(trainer.progress),
                "architecture": describe(trainer.network),
            },
        )

    def restore(self, trainer: "Trainer") -> None:
        """Put everything back; a KoubaiError tells if it is of another training."""
        state = self.state
        _require_same("network", state["architecture"], describe(trainer.network))
        kind = type(trainer.optimizer).__name__
        _require_same("optimizer", state["optimizer"]["kind"], kind)
        self.put_arrays(trainer, self.arrays)
        found = dict(state["optimizer"]["numbers"])
        found |= {
            key.removeprefix("optimizer."): _to(trainer, value)
            for key, value in self.arrays.items()
            if key.startswith("optimizer.")
        }
        trainer.optimizer.load_state_dict(found)
        trainer.batches.load_state_dict(state["batches"])
        trainer.step, trainer.epoch = state["step"], state["epoch"]
        trainer.train_loss_list[:] = self.arrays["losses"].tolist()
        trainer.history.take_over(state["history"])
        trainer.progress.update(state["progress"])

    @staticmethod
    def put_arrays(trainer: "Trainer", arrays: dict[str, Any]) -> None:
        """Put back the parameters and the layers' state, or tell which do not fit."""
        own = {
            key.removeprefix("network."): value
            for key, value in arrays.items()
            if key.startswith("network.")
        }
        load_weights(trainer.network, own)


def places(network: Network) -> dict[str, tuple[Any, str]]:
    """Give where each array of a network lies."""
    return locate(network.layers) | locate_state(network.layers)


def network_arrays(network: Network) -> dict[str, Any]:
    """Give copies on the host of the arrays that make a network."""
    found = {key: getattr(layer, name) for key, (layer, name) in places(network).items()}
    return {
        f"network.{key}": np.array(to_numpy(value))
        for key, value in found.items()
        if hasattr(value, "dtype")
    }


def _to(trainer: "Trainer", array: Any) -> Any:
    place = trainer.network.device
    assert place is not None
    return place.asarray(array, copy=True)


def _state_of(optimizer: Any) -> dict[str, Any]:
    if not hasattr(optimizer, "state_dict"):
        raise KoubaiError(
            f"Trainer: {optimizer!r} has no state_dict and load_state_dict, so no checkpoint can "
            "be made of it. Derive it from koubai.optimizers.Rule."
        )
    return optimizer.state_dict()  # type: ignore[no-any-return]


def _require_same(what: str, saved: Any, now: Any) -> None:
    if saved != now:
        raise KoubaiError(
            f"The checkpoint is of another {what}.\n  there: {saved}\n  here:  {now}\n"
            "Resume with what it was written with, or begin in another folder."
        )
