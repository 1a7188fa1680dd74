"""One eager training step, forward, backward and SGD update, of koubai and its peers.

Every peer computes in a process of its own, and they are asked in turn, round after round:
two BLAS libraries in one process spin against each other, and a machine's mood passes over
all peers alike. Ratios are taken within a round.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from itertools import pairwise

import numpy as np

from measuring import Peer, answer_with, facts, headline, options, quartiles, ratio, record

RATE = 0.1
PROVING_STEPS = 50
STRETCH = 0.003  # seconds of steps between two looks at the clock
STRETCHES = 25  # in a round; the fastest counts, for other programs only ever take time away
TOLERANCE = 1e-4
FLOOR, TORCH = "GEMM floor", "torch eager"


def problem(shape: list[int], batch: int) -> tuple[list, np.ndarray, np.ndarray]:
    """Draw weights, images and labels, the same for every peer."""
    rng = np.random.default_rng(0)
    x = rng.random((batch, shape[0]))
    t = rng.integers(0, shape[-1], batch)
    weights = [rng.standard_normal(ends) * np.sqrt(2 / ends[0]) for ends in pairwise(shape)]
    return weights, x, t


def koubai_on(device: str):
    """Train koubai's layers with the book's loop."""

    def make(weights, x, t):
        import koubai

        place = koubai.device(device)
        layers = []
        for W in weights:
            b = np.zeros(W.shape[1])
            layers += [koubai.Affine(*(place.asarray(p, dtype="float32") for p in (W, b)))]
            layers += [koubai.Relu()]
        network = koubai.Network(layers[:-1])
        x, t = place.asarray(x, dtype="float32"), place.asarray(t)

        def step():
            grads = network.gradient(x, t)
            for key in network.params:
                network.params[key] -= RATE * grads[key]
            return network.last_layer.loss

        return step, place.synchronize

    return make


def torch_eager(weights, x, t):
    """Train with PyTorch as its tutorials do."""
    import torch
    from torch import nn

    layers = []
    for W in weights:
        linear = nn.Linear(*W.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W.T))
            linear.bias.zero_()
        layers += [linear, nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    x, t = torch.from_numpy(x).float(), torch.from_numpy(t)

    def step():
        optimizer.zero_grad()
        loss = criterion(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return step, lambda: None


def book_in(dtype: str):
    """Train as the book does: NumPy, an array of one-hot labels, the whole chain by hand."""

    def make(weights, x, t):
        W = [w.astype(dtype) for w in weights]
        b = [np.zeros(w.shape[1], dtype) for w in weights]
        x, rows = x.astype(dtype), np.eye(weights[-1].shape[1], dtype=dtype)[t]
        last = len(W) - 1

        def step():
            inputs, masks = [x], []
            for i in range(last):
                h = np.dot(inputs[i], W[i]) + b[i]
                masks.append(h <= 0)
                h[masks[i]] = 0
                inputs.append(h)
            scores = np.dot(inputs[last], W[last]) + b[last]
            e = np.exp(scores - scores.max(axis=1, keepdims=True))
            y = e / e.sum(axis=1, keepdims=True)
            loss = -np.sum(rows * np.log(y + 1e-7)) / len(x)
            d = (y - rows) / len(x)
            grads = []
            for i in range(last, -1, -1):
                grads.append((W[i], np.dot(inputs[i].T, d)))
                grads.append((b[i], d.sum(axis=0)))
                d = np.dot(d, W[i].T)
                if i:
                    d[masks[i - 1]] = 0
            for parameter, gradient in grads:
                parameter -= RATE * gradient  # noqa: PLW2901  (in place)
            return loss

        return step, lambda: None

    return make


def gemm_floor(weights, x, t):
    """Do nothing but the matrix products of a step, into arrays that are already there."""
    del t
    W = [w.astype(np.float32) for w in weights]
    shape = [x.shape[1]] + [w.shape[1] for w in W]
    h = [x.astype(np.float32)] + [np.zeros((len(x), m), np.float32) for m in shape[1:]]
    d = [np.full_like(array, 1e-3) for array in h]
    dW = [np.zeros_like(w) for w in W]

    def step():
        for i in range(len(W)):
            np.matmul(h[i], W[i], out=h[i + 1])
        for i in range(len(W) - 1, -1, -1):
            np.matmul(h[i].T, d[i + 1], out=dW[i])
            if i:
                np.matmul(d[i + 1], W[i].T, out=d[i])

    return step, lambda: None


PEERS = {
    FLOOR: gemm_floor,
    TORCH: torch_eager,
    "book, float32": book_in("float32"),
    "book, float64": book_in("float64"),
}


def find(name: str):
    """Give the maker of a peer's step."""
    return PEERS.get(name) or koubai_on(name.removeprefix("koubai "))


def be_peer(name: str, shape: list[int], batch: int) -> None:
    """Prove the step on a fresh start, then time blocks of steps as long as asked to."""
    step, wait = find(name)(*problem(shape, batch))
    for _ in range(PROVING_STEPS):
        loss = step()
    wait()
    loss = None if loss is None else loss.item()

    def timed(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            step()
        wait()
        return (time.perf_counter() - start) / steps

    steps = max(1, round(STRETCH / min(timed(20) for _ in range(5))))

    def block() -> dict:
        timed(steps)  # wakes the threads and fills the caches
        found = min(timed(steps) for _ in range(STRETCHES))
        return {"loss": loss, "microseconds": found * 1e6}

    answer_with(block)


def names() -> list[str]:
    """Name the peers that this machine has."""
    told = subprocess.run(
        [sys.executable, "-m", "koubai", "--json"], check=True, capture_output=True, text=True
    )
    works = [status["device"] for status in json.loads(told.stdout)["devices"] if status["works"]]
    ours = [f"koubai {device}" for device in works if not device.startswith("array_api_strict")]
    has_torch = any(device.startswith("torch") for device in works)
    return ours + [name for name in PEERS if name != TORCH or has_torch]


def compare(shape: str, batch: int, rounds: int, threads: int | None) -> dict:
    """Ask every peer in turn, round after round."""
    script = [__file__, "--shape", shape, "--batch", str(batch), "--peer"]
    times, losses = defaultdict(list), {}
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(name, [*script, name], threads)) for name in names()]
        for peer in peers:  # each is ready, and asleep, before the first round
            losses[peer.name] = peer.ask({})["loss"]
        for _ in range(rounds):
            for peer in peers:
                times[peer.name].append(peer.ask({})["microseconds"])
    wanted = losses["book, float64"]
    for name, loss in losses.items():
        if loss is not None and abs(loss - wanted) > TOLERANCE * abs(wanted):
            raise SystemExit(f"{name}: loss {loss} after {PROVING_STEPS} steps, not {wanted}.")
    return {
        "shape": shape,
        "batch": batch,
        "rounds": rounds,
        "threads": threads or "as the libraries choose",
        "loss": wanted,
        "microseconds": {name: quartiles(found) for name, found in times.items()},
        "times GEMM floor": {name: ratio(found, times[FLOOR]) for name, found in times.items()},
        "times torch eager": {
            name: ratio(found, times[TORCH]) for name, found in times.items() if TORCH in times
        },
    }


def main() -> None:
    parser = options("Time one eager training step of every peer.", rounds=41)
    parser.add_argument("--shape", default="784-50-10", help="inputs, hidden units, classes")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--threads", type=int, help="of BLAS and OpenMP; else the libraries choose")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.peer:
        be_peer(chosen.peer, [int(size) for size in chosen.shape.split("-")], chosen.batch)
        return
    found = compare(chosen.shape, chosen.batch, chosen.rounds, chosen.threads) | facts()
    print(f"Eager step of {chosen.shape}, batch {chosen.batch}, float32; {chosen.rounds} rounds.")
    print(headline(found))
    print(f"{'peer':<18} {'median us':>10} {'quartiles':>17} {'/ floor':>8} {'/ torch':>8}")
    for name, spread in found["microseconds"].items():
        around = f"{spread['q1']:,.0f} to {spread['q3']:,.0f}"
        versus = found["times torch eager"].get(name, float("nan"))
        print(
            f"{name:<18} {spread['median']:>10,.0f} {around:>17} "
            f"{found['times GEMM floor'][name]:>8.2f} {versus:>8.2f}"
        )
    print(f"All peers reach the loss {found['loss']:.6f} after {PROVING_STEPS} steps.")
    if chosen.json:
        suffix = f", {chosen.threads} thread(s)" if chosen.threads else ""
        record(chosen.json, f"eager_step{suffix}", found)


if __name__ == "__main__":
    main()
