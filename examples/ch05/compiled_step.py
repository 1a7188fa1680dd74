"""The same layers, compiled: one call does forward, backward and update. Compares the time."""

import argparse
import sys
import time

import numpy as np

import koubai

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--device", default="cpu", help="such as cpu, cuda, torch:cpu, jax")
parser.add_argument("--steps", type=int, default=1000)
parser.add_argument("--plan", action="store_true", help="show what the compiled step does")
args = parser.parse_args()


def timed(device, take_a_step):
    take_a_step()
    device.synchronize()
    start = time.perf_counter()
    for _ in range(args.steps):
        take_a_step()
    device.synchronize()
    return (time.perf_counter() - start) / args.steps * 1e6


def main():
    device = koubai.device(args.device)
    rng = np.random.default_rng(0)
    x = device.asarray(rng.random((100, 784)), dtype="float32")
    t = device.asarray(rng.integers(0, 10, 100))
    network = koubai.TwoLayerNet(784, 50, 10, device=device, rng=1)
    twin = network.copy()
    optimizer = koubai.SGD(lr=0.01)

    def eager_step():
        grads = network.gradient(x, t)
        optimizer.update(network.params, grads)

    step = koubai.compile_step(twin, optimizer)
    eager, compiled = timed(device, eager_step), timed(device, lambda: step(x, t))
    print(f"eager    {eager:6.0f} microseconds a step, loss {float(network.loss(x, t)):.4f}")
    print(f"compiled {compiled:6.0f} microseconds a step, loss {float(twin.loss(x, t)):.4f}")
    if args.plan:
        print(step.plan)


try:
    main()
except koubai.KoubaiError as error:
    sys.exit(str(error))
