"""``koubai train``, ``koubai evaluate`` and ``koubai predict``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import koubai
from koubai.commands.data import TEST_PART, Part, read_parts, read_samples
from koubai.errors import KoubaiError
from koubai.networks import MultiLayerNet, Network
from koubai.saving import load_network, save_network
from koubai.training import Trainer, evaluate, split_rows

__all__ = ["add_commands"]

_WEIGHTS = "network.safetensors"
_INTERRUPTED = 130  # what a shell says of a program that Ctrl-C ended


def add_commands(commands: Any) -> None:
    """
    Add the commands to the parser of the program.

    Parameters
    ----------
    commands
        What ``ArgumentParser.add_subparsers`` gave.
    """
    train = commands.add_parser("train", help="train a network on MNIST or on your own data")
    _about_data(train)
    train.add_argument("--epochs", type=int, default=17)
    train.add_argument("--batch-size", type=int, default=100)
    train.add_argument("--hidden", default="50", metavar="N,...", help="sizes of hidden layers")
    train.add_argument("--activation", default="relu", choices=["relu", "sigmoid", "tanh"])
    train.add_argument("--init", default="0.01", help="weight_init_std: a number, he, xavier, ...")
    train.add_argument("--optimizer", default="SGD", help="SGD, Momentum, Adam, ...")
    train.add_argument("--lr", type=float, help="learning rate (SGD 0.1, Adam 0.001)")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--patience", type=int, help="epochs without progress before it stops")
    train.add_argument("--checkpoint", type=Path, metavar="FOLDER")
    train.add_argument("--checkpoint-every", type=int, metavar="STEPS")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    train.add_argument("--save", type=Path, metavar="FILE", help="the network, as safetensors")
    train.add_argument("--plot", type=Path, metavar="FILE", help="the curves; needs matplotlib")
    train.add_argument("--quiet", action="store_true", help="no progress bar")
    train.set_defaults(run=_train)
    _add(commands, "evaluate", "tell how good a saved network is", _evaluate)
    predict = _add(commands, "predict", "give the classes of samples", _predict)
    predict.add_argument("--output", type=Path, metavar="FILE", help="the scores, as .npy")


def _add(
    commands: Any, name: str, told: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=told)
    parser.add_argument("network", type=Path, help="a file of network.save, or a folder of train")
    _about_data(parser)
    parser.set_defaults(run=run)
    return parser


def _about_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="such as cpu, cuda, torch:cpu, jax")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help=".npz, .npy or .csv (by default MNIST)"
    )
    parser.add_argument("--labels", type=Path, metavar="FILE", help=".npy, beside --data x.npy")


def _train(chosen: argparse.Namespace) -> int:
    train, test = read_parts(chosen.data, chosen.labels, chosen.dtype)
    if train[1].dtype.kind == "f" and train[1].shape[1:] in {(), (1,)}:
        raise KoubaiError("train: the labels are no whole numbers; a class index is wanted.")
    if test is None:
        train, test = _parted(train, chosen.seed)
    network = _new_network(chosen, train)
    (x_train, t_train), (x_test, t_test) = train, test
    trainer = Trainer(
        network,
        x_train,
        t_train,
        x_test,
        t_test,
        epochs=chosen.epochs,
        mini_batch_size=chosen.batch_size,
        optimizer=chosen.optimizer,
        optimizer_param={} if chosen.lr is None and not _is_sgd(chosen) else {"lr": _lr(chosen)},
        verbose=not chosen.quiet,
        rng=chosen.seed,
        patience=chosen.patience,
        checkpoint=chosen.checkpoint,
        checkpoint_every=chosen.checkpoint_every,
        resume=chosen.resume,
    ).train()
    if trainer.history:
        print(trainer.history.table())
    if chosen.plot is not None:
        trainer.plot_history().savefig(chosen.plot)
    files = [chosen.save, chosen.checkpoint and chosen.checkpoint / _WEIGHTS]
    for file in filter(None, files):
        save_network(network, file)
        print(f"saved {file}")
    return _INTERRUPTED if trainer.interrupted else 0


def _parted(part: Part, seed: int) -> tuple[Part, Part]:
    """Keep a fifth of the samples for tests, where the file does not say which."""
    x, t = part
    learn, keep = split_rows(t, TEST_PART, rng=seed)  # type: ignore[arg-type]
    return (x[learn], t[learn]), (x[keep], t[keep])


def _evaluate(chosen: argparse.Namespace) -> int:
    network = _saved(chosen)
    train, test = read_parts(chosen.data, chosen.labels, str(network.dtype))
    found = evaluate(network, _on_device(network, train if test is None else test))
    print(", ".join(f"{name} {value:.4f}" for name, value in found.items()))
    return 0


def _predict(chosen: argparse.Namespace) -> int:
    network = _saved(chosen)
    if chosen.data is None:
        raise KoubaiError("predict needs samples: --data x.npy, .npz or .csv.")
    x = read_samples(chosen.data, str(network.dtype))
    starts = range(0, len(x), 1000)
    scores = np.concatenate([_scores(network, x[start : start + 1000]) for start in starts])
    if chosen.output is not None:
        np.save(chosen.output, scores, allow_pickle=False)
        print(f"saved {chosen.output}")
        return 0
    classifies = getattr(network.last_layer, "classifies", False)
    for row in scores:
        print(int(np.argmax(row)) if classifies else " ".join(f"{value:.6g}" for value in row))
    return 0


def _scores(network: Network, x: Any) -> Any:
    return koubai.to_numpy(network.predict(koubai.asarray(x, device=network.device)))


def _new_network(chosen: argparse.Namespace, train: Part) -> Network:
    x, t = train
    classes = t.shape[1] if t.ndim > 1 else int(t.max()) + 1
    hidden = [int(size) for size in str(chosen.hidden).split(",") if size]
    try:
        init: float | str = float(chosen.init)
    except ValueError:
        init = chosen.init
    return MultiLayerNet(
        int(np.prod(x.shape[1:])),
        hidden,
        classes,
        activation=chosen.activation,
        weight_init_std=init,
        device=chosen.device,
        dtype=chosen.dtype,
        rng=chosen.seed,
    )


def _is_sgd(chosen: argparse.Namespace) -> bool:
    return str(chosen.optimizer).lower() == "sgd"


def _lr(chosen: argparse.Namespace) -> float:
    return 0.1 if chosen.lr is None else float(chosen.lr)


def _saved(chosen: argparse.Namespace) -> Network:
    path: Path = chosen.network
    file = path / _WEIGHTS if path.is_dir() else path
    return load_network(file, device=chosen.device)


def _on_device(network: Network, part: Part) -> tuple[Any, Any]:
    x, t = (koubai.asarray(array, device=network.device) for array in part)
    return x, t
