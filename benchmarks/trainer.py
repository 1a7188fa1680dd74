"""What the Trainer costs: 784-50-10 on MNIST by epochs, against the bare step and PyTorch.

Each learns the same permutations from the same weights in a process of its own, in turn. The
Trainer shows its progress bar, on a terminal that nobody reads. Compiling and drawing the
batches count; loading the images and scoring them do not.
"""

import argparse
import os
import pty
import sys
import termios
import threading
import time
from contextlib import ExitStack

import numpy as np

import koubai
from measuring import Peer, answer_with, facts, headline, options, quartiles, ratio, record

RATE, BATCH, SIZES = 0.1, 100, (784, 50, 10)
TRAINER, BARE, TORCH = "koubai Trainer", "bare compiled step", "torch eager"


def by_trainer(x, t, epochs):
    """Learn with the Trainer, its bar shown."""
    network = koubai.TwoLayerNet(*SIZES, device="cpu", rng=0)
    trainer = koubai.Trainer(
        network, x, t, epochs=epochs, optimizer_param={"lr": RATE}, rng=1,
        evaluate_sample_num_per_epoch=0,
    )  # fmt: skip
    trainer.train()
    return network.accuracy


def by_bare_step(x, t, epochs):
    """Learn with the compiled step alone."""
    network = koubai.TwoLayerNet(*SIZES, device="cpu", rng=0)
    step = koubai.compile_step(network, koubai.SGD(RATE))
    batches = koubai.Batches(x, t, BATCH, rng=1, reuse=True)
    for _ in range(epochs):
        for batch in batches:
            step(*batch)
    return network.accuracy


def by_torch(x, t, epochs):
    """Learn with PyTorch as its tutorials do, on permutations drawn by NumPy."""
    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(*SIZES[:2]), nn.ReLU(), nn.Linear(*SIZES[1:]))
    draw = np.random.default_rng(0).standard_normal
    with torch.no_grad():
        for linear, ends in ((model[0], SIZES[:2]), (model[2], SIZES[1:])):
            linear.weight.copy_(torch.from_numpy((0.01 * draw(ends)).astype(np.float32).T))
            linear.bias.zero_()
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=RATE)
    rng = np.random.default_rng(1)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), BATCH):
            chosen = order[start : start + BATCH]
            optimizer.zero_grad()
            y = model(torch.from_numpy(x[chosen]))
            criterion(y, torch.from_numpy(t[chosen]).long()).backward()
            optimizer.step()

    @torch.no_grad()
    def accuracy(x, t):
        return (model(torch.from_numpy(x)).argmax(1) == torch.from_numpy(t)).float().mean()

    return accuracy


PEERS = {TRAINER: by_trainer, BARE: by_bare_step, TORCH: by_torch}


def be_peer(name: str) -> None:
    """Load the images once; train anew, and time it, as often as asked to."""
    (x, t), test = koubai.load_mnist(device="cpu")
    reader, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 120))  # in no columns, the bar would not be drawn
    threading.Thread(
        target=lambda: all(iter(lambda: os.read(reader, 4096), b"")), daemon=True
    ).start()
    sys.stderr = os.fdopen(terminal, "w")

    def train(epochs: int) -> dict:
        begun = time.perf_counter()
        accuracy = PEERS[name](x, t, epochs)
        seconds = time.perf_counter() - begun
        return {"seconds": seconds, "accuracy": float(accuracy(*test))}

    answer_with(train)


def _read_all(reader: int) -> None:
    while os.read(reader, 4096):
        pass


def main() -> None:
    parser = options("Time the Trainer on MNIST.", rounds=3)
    parser.add_argument("--epochs", type=int, default=17)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.peer:
        be_peer(chosen.peer)
        return
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(name, [__file__, "--peer", name])) for name in PEERS]
        for peer in peers:
            peer.ask({"epochs": 1})
        seconds, accuracy = {name: [] for name in PEERS}, {}
        for _ in range(max(2, chosen.rounds)):
            for peer in peers:
                answer = peer.ask({"epochs": chosen.epochs})
                seconds[peer.name].append(answer["seconds"])
                accuracy[peer.name] = answer["accuracy"]
    found = facts() | {
        "epochs": chosen.epochs,
        "seconds": {name: quartiles(values) for name, values in seconds.items()},
        "test accuracy": accuracy,
        "Trainer, times the bare step": ratio(seconds[TRAINER], seconds[BARE]),
        "Trainer, times torch eager": ratio(seconds[TRAINER], seconds[TORCH]),
    }
    print(headline(found))
    for name, spread in found["seconds"].items():
        print(f"{name:<20} {spread['median']:6.2f} s   test accuracy {accuracy[name]:.4f}")
    for base in ("the bare step", "torch eager"):
        print(f"Trainer, times {base}: {found[f'Trainer, times {base}']:.3f}")
    if chosen.json:
        record(chosen.json, "trainer", found)


if __name__ == "__main__":
    main()
