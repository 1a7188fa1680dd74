"""Whole training of the main job, 784-50-10 on MNIST: koubai against the same in plain NumPy.

Both draw the same batches from the same weights, each in a process of its own, in turn; both
measure their accuracy after each epoch, as the book does. What koubai's checks, names and
generality cost is the ratio.
"""

import argparse
import time
from contextlib import ExitStack

import numpy as np

from measuring import Peer, answer_with, facts, headline, options, quartiles, ratio, record

RATE = 0.1
BATCH = 100
SIZES = 784, 50, 10
KOUBAI, PLAIN = "koubai", "plain NumPy"


def koubai_training():
    """Give koubai's network as a pair of functions, to learn a batch and to score samples."""
    import koubai

    network = koubai.TwoLayerNet(*SIZES, device="cpu", rng=0)

    def learn(x, t):
        grads = network.gradient(x, t)
        for key in network.params:
            network.params[key] -= RATE * grads[key]

    return learn, network.accuracy


def plain_training():
    """Give the same two functions in NumPy alone, as one would write them for this network."""
    draw = np.random.default_rng(0).standard_normal
    W1, W2 = ((0.01 * draw(ends)).astype(np.float32) for ends in (SIZES[:2], SIZES[1:]))
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
        return float(np.mean(np.argmax(np.maximum(x @ W1 + b1, 0) @ W2 + b2, axis=1) == t))

    return learn, accuracy


PEERS = {KOUBAI: koubai_training, PLAIN: plain_training}


def be_peer(name: str, epochs: int) -> None:
    """Load the images once; train anew, and time it, as often as asked to."""
    import koubai

    (x_train, t_train), (x_test, t_test) = koubai.load_mnist(device="cpu")

    def train() -> dict:
        learn, accuracy = PEERS[name]()
        rng = np.random.default_rng(1)
        start = time.perf_counter()
        for _ in range(epochs):
            order = rng.permutation(len(x_train))
            for first in range(0, len(order), BATCH):
                chosen = order[first : first + BATCH]
                learn(x_train[chosen], t_train[chosen])
            scores = accuracy(x_train, t_train), accuracy(x_test, t_test)
        return {"seconds": time.perf_counter() - start, "accuracy": scores[1]}

    answer_with(train)


def compare(epochs: int, rounds: int, threads: int | None) -> dict:
    """Have both train in turn, round after round."""
    seconds, accuracy = {name: [] for name in PEERS}, {}
    with ExitStack() as stack:
        arguments = [__file__, "--epochs", str(epochs), "--peer"]
        peers = [stack.enter_context(Peer(name, [*arguments, name], threads)) for name in PEERS]
        for warm_up in (True, *[False] * rounds):
            for peer in peers:
                found = peer.ask({})
                accuracy[peer.name] = found["accuracy"]
                if not warm_up:
                    seconds[peer.name].append(found["seconds"])
    if abs(accuracy[KOUBAI] - accuracy[PLAIN]) > 0.002:
        raise SystemExit(f"The two learnt different things: {accuracy}.")
    return {
        "epochs": epochs,
        "rounds": rounds,
        "threads": threads or "as the libraries choose",
        "seconds": {name: quartiles(found) for name, found in seconds.items()},
        "test accuracy": accuracy,
        "koubai / plain NumPy": ratio(seconds[KOUBAI], seconds[PLAIN]),
    }


def main() -> None:
    parser = options("Time the whole training of 784-50-10 on MNIST.", rounds=9)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of BLAS; by default the library chooses")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.peer:
        be_peer(chosen.peer, chosen.epochs)
        return
    found = compare(chosen.epochs, chosen.rounds, chosen.threads) | facts()
    print(f"Training 784-50-10, {chosen.epochs} epochs of 600 steps; {chosen.rounds} rounds.")
    print(headline(found))
    print(f"{'peer':<12} {'median s':>9} {'quartiles':>13} {'test accuracy':>14}")
    for name, spread in found["seconds"].items():
        around = f"{spread['q1']:.2f} to {spread['q3']:.2f}"
        accuracy = found["test accuracy"][name]
        print(f"{name:<12} {spread['median']:>9.2f} {around:>13} {accuracy:>14.4f}")
    print(f"koubai takes {found['koubai / plain NumPy']:.2f} times as long as plain NumPy.")
    if chosen.json:
        suffix = f", {chosen.threads} thread(s)" if chosen.threads else ""
        record(chosen.json, f"training{suffix}", found)


if __name__ == "__main__":
    main()
