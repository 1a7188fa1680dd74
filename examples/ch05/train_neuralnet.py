"""Train the book's two-layer network on MNIST (section 5.7.4), on any device."""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from tqdm import tqdm

import koubai
from koubai import TwoLayerNet, load_mnist


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--device", help="such as cpu, cuda, torch:cpu, jax (default KOUBAI_DEVICE)")
parser.add_argument("--epochs", type=positive, default=17)
parser.add_argument("--batch-size", type=positive, default=100)
parser.add_argument("--lr", type=float, default=0.1, help="learning rate (default 0.1)")
parser.add_argument("--hidden", type=int, default=50, help="hidden units (default 50)")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--dtype", default="float32")
parser.add_argument("--plot", type=Path, default=Path("train_neuralnet.png"), help="the curves")
args = parser.parse_args()


def plot(losses, train_accuracies, test_accuracies):
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        print("No curves: matplotlib is not installed (pip install matplotlib).")
        return
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(losses, linewidth=0.5)
    left.set(xlabel="step", ylabel="loss", ylim=(0, None))
    epochs = range(1, len(test_accuracies) + 1)
    right.plot(epochs, train_accuracies, marker="o", label="train")
    right.plot(epochs, test_accuracies, marker="s", linestyle="--", label="test")
    right.set(xlabel="epoch", ylabel="accuracy")
    right.legend(loc="lower right")
    figure.savefig(args.plot, dpi=120)
    print(f"The curves are in {args.plot}.")


def main(device):
    rng = np.random.default_rng(args.seed)
    (x_train, t_train), (x_test, t_test) = load_mnist(device=device, dtype=args.dtype)
    network = TwoLayerNet(784, args.hidden, 10, device=device, dtype=args.dtype, rng=rng)
    print(network)

    losses, train_accuracies, test_accuracies = [], [], []
    n = x_train.shape[0]
    for epoch in range(1, args.epochs + 1):
        order = device.asarray(rng.permutation(n))
        starts = range(0, n, args.batch_size)
        for start in tqdm(starts, desc=f"epoch {epoch:2}", unit="step", leave=False, disable=None):
            batch = order[start : min(start + args.batch_size, n)]
            x_batch = device.xp.take(x_train, batch, axis=0)
            t_batch = device.xp.take(t_train, batch, axis=0)

            grads = network.gradient(x_batch, t_batch)
            for key in network.params:
                network.params[key] -= args.lr * grads[key]
            losses.append(network.last_layer.loss)

        train_accuracies.append(network.accuracy(x_train, t_train))
        test_accuracies.append(network.accuracy(x_test, t_test))
        print(f"epoch {epoch:2}: train {train_accuracies[-1]:.4f}, test {test_accuracies[-1]:.4f}")

    plot([float(loss) for loss in losses], train_accuracies, test_accuracies)
    print(f"test accuracy {test_accuracies[-1]:.4f}")


try:
    device = koubai.get_default_device() if args.device is None else koubai.device(args.device)
    # JAX has float64 switched off; this switches it on where it was asked for.
    with device, device.backend.float64() if args.dtype == "float64" else nullcontext():
        main(device)
except koubai.KoubaiError as error:
    sys.exit(str(error))
