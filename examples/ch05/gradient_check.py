"""Backpropagation against numerical differentiation on three images (the book, section 5.7.3)."""

import argparse
import sys
import time

import numpy as np

import koubai
from koubai import TwoLayerNet, check_gradients, load_mnist, to_numpy

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--device", default="cpu", help="such as cpu, cuda, torch:cpu, jax")
parser.add_argument("--hidden", type=int, default=50, help="hidden units (default 50)")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
device = koubai.device(args.device)


def main():
    (x_train, t_train), _ = load_mnist(one_hot_label=True, device=device, dtype="float64")
    network = TwoLayerNet(784, args.hidden, 10, device=device, dtype="float64", rng=args.seed)
    x_batch, t_batch = x_train[:3, ...], t_train[:3, ...]

    grad_numerical = network.numerical_gradient(x_batch, t_batch)
    grad_backprop = network.gradient(x_batch, t_batch)

    # The mean over each parameter's elements of the absolute difference.
    differences = {
        key: np.average(np.abs(to_numpy(grad_backprop[key]) - to_numpy(grad_numerical[key])))
        for key in grad_numerical
    }
    for key, difference in differences.items():
        print(f"{key}: {difference:.1e}")
    passed = max(differences.values()) <= 1e-8
    print("backpropagation is", "RIGHT" if passed else "WRONG")

    # The same proof for all elements together, along one line for each parameter.
    start = time.perf_counter()
    report = check_gradients(network, x_batch, t_batch)
    print(report)
    print(f"proved in {time.perf_counter() - start:.2f} seconds")
    return 0 if passed and report.passed else 1


with device.backend.float64():
    status = main()
sys.exit(status)
