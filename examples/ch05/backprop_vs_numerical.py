"""Backpropagation and numerical differentiation side by side on a small regression.

The function f(x) = 3 x0 + 2 x1 is learned from 50 samples, one at a time, by a 2-10-1
network with 41 parameters: the same losses, and not the same time.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import koubai
from koubai import Affine, IdentityWithLoss, Network, Relu

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--device", default="cpu", help="such as cpu, cuda, torch:cpu, jax")
parser.add_argument("--lr", type=float, default=0.07, help="learning rate (default 0.07)")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--plot", type=Path, default=Path("backprop_vs_numerical.png"))
args = parser.parse_args()
device = koubai.device(args.device)


def array(values):
    return device.asarray(values, dtype="float64")


def new_network():
    rng = np.random.default_rng(args.seed)
    first = Affine(array(0.5 * rng.standard_normal((2, 10))), array(np.zeros(10)))
    second = Affine(array(0.5 * rng.standard_normal((10, 1))), array(np.zeros(1)))
    return Network([first, Relu(), second], last_layer=IdentityWithLoss())


def train(method):
    """Give the loss before every step, and the seconds that all steps took."""
    network = new_network()
    x_train = np.random.default_rng(args.seed + 1).random((50, 2))
    t_train = x_train @ np.asarray([[3.0], [2.0]])
    losses = []
    start = time.perf_counter()
    for sample in range(len(x_train)):
        x, t = array(x_train[sample : sample + 1]), array(t_train[sample : sample + 1])
        losses.append(float(network.loss(x, t)))
        grads = getattr(network, method)(x, t)
        for key in network.params:
            network.params[key] -= args.lr * grads[key]
    return losses, time.perf_counter() - start


def main():
    print(new_network())
    backprop_losses, backprop_time = train("gradient")
    numerical_losses, numerical_time = train("numerical_gradient")
    print(f"backpropagation:           {1000 * backprop_time:7.1f} ms")
    print(f"numerical differentiation: {1000 * numerical_time:7.1f} ms")
    print(f"ratio:                     {numerical_time / backprop_time:7.1f}")
    difference = np.max(np.abs(np.subtract(backprop_losses, numerical_losses)))
    print(f"largest difference of the losses: {difference:.1e}")
    print(f"loss: first sample {backprop_losses[0]:.4f}, last {backprop_losses[-1]:.4f}")
    plot(backprop_losses, numerical_losses)


def plot(backprop_losses, numerical_losses):
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        print("No curves: matplotlib is not installed (pip install matplotlib).")
        return
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(backprop_losses, linewidth=3, alpha=0.5, label="backpropagation")
    axes.plot(numerical_losses, linestyle="--", label="numerical differentiation")
    axes.set(xlabel="step", ylabel="loss", ylim=(0, None))
    axes.legend()
    figure.savefig(args.plot, dpi=120)
    print(f"The curves are in {args.plot}.")


with device.backend.float64():
    main()
