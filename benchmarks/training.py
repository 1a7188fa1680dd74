"""Whole training of the main job, 784-50-10 on MNIST: koubai, PyTorch and plain NumPy.

All learn the same batches from the same weights, each in a process of its own, in turn. Drawing
the batches counts, by NumPy for all, and so does compiling; loading the images and scoring them
do not.
"""

import argparse
import time
from contextlib import ExitStack

import numpy as np

from measuring import Peer, answer_with, facts, headline, options, quartiles, ratio, record

RATE = 0.1
BATCH = 100
SIZES = 784, 50, 10
WARM_UP = 500  # steps before the first round
TOLERANCE = 0.002
COMPILED, EAGER, PLAIN, TORCH = "koubai compiled", "koubai eager", "plain NumPy", "torch eager"


# Each peer gives a pair of functions, to learn a batch and to tell the accuracy on samples.


def koubai_compiled():
    """Learn with koubai's network, compiled."""
    import koubai

    network = koubai.TwoLayerNet(*SIZES, device="cpu", rng=0)
    return koubai.compile_step(network, koubai.SGD(lr=RATE)), network.accuracy


def koubai_eager():
    """Learn with koubai's network, as the book does."""
    import koubai

    network = koubai.TwoLayerNet(*SIZES, device="cpu", rng=0)

    def learn(x, t):
        grads = network.gradient(x, t)
        for key in network.params:
            network.params[key] -= RATE * grads[key]

    return learn, network.accuracy


def plain_numpy():
    """Learn in NumPy alone, as one would write it for this network."""
    W1, W2 = initial_weights()
    b1, b2 = (np.zeros(size, np.float32) for size in SIZES[1:])

    def learn(x, t):
        h = np.maximum(x @ W1 + b1, 0)
        scores = h @ W2 + b2
        d2 = np.exp(scores - scores.max(axis=1, keepdims=True))
        d2 /= d2.sum(axis=1, keepdims=True)
        d2[np.arange(len(t)), t] -= 1
        d2 /= len(t)
        d1 = d2 @ W2.T
        d1[h <= 0] = 0
        for parameter, gradient in (
            (W1, x.T @ d1),
            (b1, d1.sum(axis=0)),
            (W2, h.T @ d2),
            (b2, d2.sum(axis=0)),
        ):
            parameter -= RATE * gradient  # noqa: PLW2901  (in place)

    def accuracy(x, t):
        return np.mean(np.argmax(np.maximum(x @ W1 + b1, 0) @ W2 + b2, axis=1) == t)

    return learn, accuracy


def torch_eager():
    """Learn with PyTorch as its tutorials do."""
    import torch
    from torch import nn

    W1, W2 = initial_weights()
    model = nn.Sequential(nn.Linear(*SIZES[:2]), nn.ReLU(), nn.Linear(*SIZES[1:]))
    with torch.no_grad():
        for linear, W in ((model[0], W1), (model[2], W2)):
            linear.weight.copy_(torch.from_numpy(W.T))
            linear.bias.zero_()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)

    def learn(x, t):
        optimizer.zero_grad()
        criterion(model(torch.from_numpy(x)), torch.from_numpy(t).long()).backward()
        optimizer.step()

    @torch.no_grad()
    def accuracy(x, t):
        return (model(torch.from_numpy(x)).argmax(1) == torch.from_numpy(t)).float().mean()

    return learn, accuracy


def initial_weights() -> list[np.ndarray]:
    """Draw the weights as koubai's network draws them."""
    draw = np.random.default_rng(0).standard_normal
    return [(0.01 * draw(ends)).astype(np.float32) for ends in (SIZES[:2], SIZES[1:])]


PEERS = {COMPILED: koubai_compiled, EAGER: koubai_eager, PLAIN: plain_numpy, TORCH: torch_eager}


def be_peer(name: str) -> None:
    """Load the images once; train anew, and time it, as often as asked to."""
    import koubai

    (x_train, t_train), test = koubai.load_mnist(device="cpu")
    try:
        PEERS[name]()
    except (ImportError, AttributeError) as error:
        why = str(error)
        answer_with(lambda **_: {"left out": why})
        return

    def train(steps: int) -> dict:
        rng = np.random.default_rng(1)
        start = time.perf_counter()
        learn, accuracy = PEERS[name]()
        for _ in range(steps):
            chosen = rng.integers(0, len(x_train), BATCH)
            learn(x_train[chosen], t_train[chosen])
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "accuracy": float(accuracy(*test))}

    answer_with(train)


def compare(steps: int, rounds: int, threads: int | None) -> dict:
    """Have all train in turn, round after round."""
    accuracy, left_out = {}, {}
    with ExitStack() as stack:
        peers = []
        for name in PEERS:
            peer = stack.enter_context(Peer(name, [__file__, "--peer", name], threads))
            answer = peer.ask({"steps": WARM_UP})
            if "left out" in answer:
                left_out[name] = answer["left out"]
            else:
                peers.append(peer)
        seconds = {peer.name: [] for peer in peers}
        for _ in range(max(2, rounds)):
            for peer in peers:
                answer = peer.ask({"steps": steps})
                accuracy[peer.name] = answer["accuracy"]
                seconds[peer.name].append(answer["seconds"])
    if max(accuracy.values()) - min(accuracy.values()) > TOLERANCE:
        raise SystemExit(f"They learnt different things: {accuracy}.")
    return {
        "steps": steps,
        "rounds": max(2, rounds),
        "threads": threads or "as the libraries choose",
        "seconds": {name: quartiles(found) for name, found in seconds.items()},
        "test accuracy": accuracy,
        "left out": left_out,
    } | {
        f"times {base}": {name: ratio(found, seconds[base]) for name, found in seconds.items()}
        for base in (TORCH, PLAIN)
        if base in seconds
    }


def main() -> None:
    parser = options("Time the whole training of 784-50-10 on MNIST.", rounds=5)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--threads", type=int, help="of BLAS and OpenMP; else the libraries choose")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.peer:
        be_peer(chosen.peer)
        return
    found = compare(chosen.steps, chosen.rounds, chosen.threads) | facts()
    print(f"Training 784-50-10, {found['steps']:,} steps of {BATCH}; {found['rounds']} rounds.")
    print(headline(found))
    heads = f"{'/ torch':>8} {'/ NumPy':>8} {'test accuracy':>14}"
    print(f"{'peer':<16} {'median s':>9} {'quartiles':>14} {heads}")
    for name, spread in found["seconds"].items():
        around = f"{spread['q1']:.2f} to {spread['q3']:.2f}"
        versus = [found.get(f"times {base}", {}).get(name) for base in (TORCH, PLAIN)]
        times = " ".join(f"{'-' if value is None else f'{value:.2f}':>8}" for value in versus)
        accuracy = found["test accuracy"][name]
        print(f"{name:<16} {spread['median']:>9.2f} {around:>14} {times} {accuracy:>14.4f}")
    for name, why in found["left out"].items():
        print(f"Left out: {name} ({why})")
    if chosen.json:
        suffix = f", {chosen.threads} thread(s)" if chosen.threads else ""
        record(chosen.json, f"training{suffix}", found)


if __name__ == "__main__":
    main()
