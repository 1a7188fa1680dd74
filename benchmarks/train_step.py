"""One training step, forward, backward and SGD update, in float32, of koubai and its peers.

Every peer computes in a process of its own, and they are asked in turn, round after round:
two BLAS libraries in one process spin against each other, and a machine's mood passes over
all peers alike. Ratios are taken within a round.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np

from measuring import (
    Peer,
    answer_with,
    facts,
    forget_peak,
    headline,
    options,
    peak,
    quartiles,
    ratio,
    record,
)

RATE = 0.1
SHAPES = (("784-50-10", 100), ("784-512-512-10", 256), ("784-2048-2048-10", 1024))
TOLERANCE = 1e-4  # of the loss
LEARNT = 0.01  # a loss below which the tolerance shrinks no further
STRETCH = 0.003  # seconds of steps between two looks at the clock
TURN = 0.15  # seconds of stretches in a round; the fastest counts, for others only take time away
TOGETHER = 20  # steps in one call, where a peer makes many of them on the device
PROVING_WORK = 2e11  # floating-point operations, at most, of the steps that prove a peer
FLOOR, TORCH, JAX, EXACT = "GEMM floor", "torch eager", "JAX jit", "book float64"
EMPTY = "empty kernels"


def problem(shape: list[int], batch: int) -> tuple[list, np.ndarray, np.ndarray]:
    """Draw weights, images and labels, the same for every peer."""
    rng = np.random.default_rng(0)
    x = 0.2 * rng.random((batch, shape[0]))  # dark: steps that overshoot make chaos of rounding
    t = rng.integers(0, shape[-1], batch)
    weights = [rng.standard_normal(ends) * np.sqrt(2 / ends[0]) for ends in pairwise(shape)]
    return weights, x, t


# Each maker of a peer takes the problem and gives two functions: one makes a step (or TOGETHER of
# them) and returns the loss (or the losses), the other waits until the device has done it.


def koubai_on(device: str, way: str):
    """Train koubai's layers with the book's loop, or compiled, or compiled a whole epoch."""

    def make(weights, x, t):
        import koubai

        place = koubai.device(device)
        layers = []
        for W in weights:
            b = np.zeros(W.shape[1])
            layers += [koubai.Affine(*(place.asarray(p, dtype="float32") for p in (W, b)))]
            layers += [koubai.Relu()]
        network = koubai.Network(layers[:-1])
        if way == "epoch":
            x, t = (np.stack([array] * TOGETHER) for array in (x, t))
        x, t = place.asarray(x, dtype="float32"), place.asarray(t)

        def eager():
            grads = network.gradient(x, t)
            for key in network.params:
                network.params[key] -= RATE * grads[key]
            return network.last_layer.loss

        if way == "eager":
            return eager, place.synchronize
        compiled = koubai.compile_step(network, koubai.SGD(lr=RATE))
        run = compiled.epoch if way == "epoch" else compiled
        return lambda: run(x, t), place.synchronize

    return make


def torch_eager(place: str):
    """Train with PyTorch as its tutorials do."""

    def make(weights, x, t):
        import torch
        from torch import nn

        layers = []
        for W in weights:
            linear = nn.Linear(*W.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(W.T))
                linear.bias.zero_()
            layers += [linear, nn.ReLU()]
        model = nn.Sequential(*layers[:-1]).to(place)
        criterion = nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        x, t = torch.from_numpy(x).float().to(place), torch.from_numpy(t).to(place)

        def step():
            optimizer.zero_grad()
            loss = criterion(model(x), t)
            loss.backward()
            optimizer.step()
            return loss

        return step, _torch_wait(place)

    return make


def torch_compiled(place: str):
    """Have torch.compile make one graph of a whole step, which takes half the time of three."""

    def make(weights, x, t):
        import torch
        from torch.nn.functional import cross_entropy

        W, b = _torch_parameters(weights, place)
        x, t = torch.from_numpy(x).float().to(place), torch.from_numpy(t).to(place)

        def loss_of(parameters):
            h = x
            for W, b in parameters[:-1]:
                h = torch.relu(h @ W + b)
            W, b = parameters[-1]
            return cross_entropy(h @ W + b, t)

        @torch.no_grad()
        @torch.compile(fullgraph=True)
        def step():
            grads, loss = torch.func.grad_and_value(loss_of)(list(zip(W, b, strict=True)))
            for parameters, gradients in zip(zip(W, b, strict=True), grads, strict=True):
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.sub_(RATE * gradient)
            return loss

        return step, _torch_wait(place)

    return make


def torch_by_hand(place: str):
    """Train with PyTorch's operations alone, into tensors that are already there."""

    def make(weights, x, t):
        step, _ = _torch_in_place(weights, x, t, place)
        return step, _torch_wait(place)

    return make


def torch_graph(weights, x, t):
    """Replay the step by hand as a CUDA graph."""
    import torch

    step, parameters = _torch_in_place(weights, x, t, "cuda")
    start = [parameter.clone() for parameter in parameters]
    graph, loss = _captured(step)
    for parameter, value in zip(parameters, start, strict=True):
        parameter.copy_(value)  # the steps before the capture have changed it

    def replay():
        graph.replay()
        return loss

    return replay, torch.cuda.synchronize


def empty_kernels(weights, x, t):
    """Launch in a graph as many kernels as the step by hand, which do nothing."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    kernels = 0

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            nonlocal kernels
            kernels += not operation.is_view
            return operation(*args, **(kwargs or {}))

    step, _ = _torch_in_place(weights, x, t, "cuda")
    with Counting():
        step()

    def launch():
        for _ in range(kernels):
            torch.cuda._sleep(0)  # noqa: SLF001  (a kernel that waits for no cycle at all)

    graph, _ = _captured(launch)
    return graph.replay, torch.cuda.synchronize


def _torch_parameters(weights, place: str):
    import torch

    W = [torch.from_numpy(w).float().to(place) for w in weights]
    return W, [torch.zeros(w.shape[1], device=place) for w in weights]


def _torch_wait(place: str):
    import torch

    return torch.cuda.synchronize if place == "cuda" else lambda: None


def _torch_in_place(weights, x, t, place: str):
    """Give the step by hand, and the parameters that it changes."""
    import torch

    W, b = _torch_parameters(weights, place)
    last = len(W) - 1
    rows = torch.eye(len(b[last]), device=place)[torch.from_numpy(t).to(place)]
    t = torch.from_numpy(t).to(place)
    inputs = [torch.from_numpy(x).float().to(place)]
    inputs += [torch.empty(len(x), len(bias), device=place) for bias in b]
    d = [torch.empty_like(array) for array in inputs]
    db = [torch.empty_like(bias) for bias in b]
    masked = torch.ops.aten.threshold_backward.grad_input

    @torch.inference_mode()
    def step():
        for i in range(last):
            torch.addmm(b[i], inputs[i], W[i], out=inputs[i + 1]).relu_()
        scores = torch.addmm(b[last], inputs[last], W[last], out=inputs[-1])
        y = torch.log_softmax(scores, 1, out=d[-1])
        loss = torch.nn.functional.nll_loss(y, t)
        y.exp_().sub_(rows).mul_(1 / len(t))
        for i in range(last, -1, -1):
            if i:
                torch.mm(d[i + 1], W[i].T, out=d[i])
                masked(d[i], inputs[i], 0, grad_input=d[i])
            W[i].addmm_(inputs[i].T, d[i + 1], alpha=-RATE)
            b[i].add_(torch.sum(d[i + 1], 0, out=db[i]), alpha=-RATE)
        return loss

    return step, [*W, *b]


def _captured(step):
    """Capture a step as a CUDA graph, and give it with what the step returned."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # what is set up at first use cannot be captured
        for _ in range(3):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()
    return graph, result


def jax_on(platform: str, *, scan: bool = False):
    """Train with jax.jit and donated parameters, a step a call or many in a scan."""

    def make(weights, x, t):
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_default_matmul_precision", "highest")
        place = jax.devices(platform)[0]

        def put(array, dtype="float32"):
            return jnp.array(array, dtype, device=place)

        parameters = [(put(W), put(np.zeros(W.shape[1]))) for W in weights]

        def loss_of(parameters, x, t):
            h = x
            for W, b in parameters[:-1]:
                h = jax.nn.relu(h @ W + b)
            W, b = parameters[-1]
            y = jax.nn.log_softmax(h @ W + b)
            return -jnp.take_along_axis(y, t[:, None], axis=1).mean()

        def learn(parameters, batch):
            loss, grads = jax.value_and_grad(loss_of)(parameters, *batch)
            return jax.tree.map(lambda p, g: p - RATE * g, parameters, grads), loss

        def learn_many(parameters, batches):
            return jax.lax.scan(learn, parameters, batches)

        if scan:
            x, t = (np.stack([array] * TOGETHER) for array in (x, t))
        batch = put(x), put(t, "int32")
        train = jax.jit(learn_many if scan else learn, donate_argnums=0)

        def step():
            nonlocal parameters
            parameters, loss = train(parameters, batch)
            return loss

        return step, lambda: jax.block_until_ready(parameters)

    return make


def thinc_layers(weights, x, t):
    """Train with thinc's layers and its optimizer, which neither clips nor averages here."""
    from thinc.api import SGD, Linear, Relu, chain

    kinds = [Relu] * (len(weights) - 1) + [Linear]
    layers = [kind(*W.shape[::-1]) for kind, W in zip(kinds, weights, strict=True)]
    model = chain(*layers)
    x = x.astype(np.float32)
    model.initialize(X=x)
    for layer, W in zip(layers, weights, strict=True):
        layer.set_param("W", np.ascontiguousarray(W.T, np.float32))
        layer.set_param("b", np.zeros(W.shape[1], np.float32))
    optimizer = SGD(RATE, grad_clip=0.0, use_averages=False)
    each = np.arange(len(t))

    def step():
        scores, backward = model.begin_update(x)
        y = model.ops.softmax(scores)
        loss = -np.log(y[each, t] + 1e-7).mean()
        y[each, t] -= 1
        backward(y / len(t))
        model.finish_update(optimizer)
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
    import koubai  # noqa: F401  (the same process as koubai's own: the same BLAS, found the same way)

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


CPU_PEERS = {
    FLOOR: gemm_floor,
    TORCH: torch_eager("cpu"),
    "torch.compile": torch_compiled("cpu"),
    "torch by hand": torch_by_hand("cpu"),
    JAX: jax_on("cpu"),
    "thinc": thinc_layers,
    "book float32": book_in("float32"),
    EXACT: book_in("float64"),
}
GPU_PEERS = {
    "torch eager GPU": torch_eager("cuda"),
    "torch.compile GPU": torch_compiled("cuda"),
    "torch by hand GPU": torch_by_hand("cuda"),
    "torch CUDA graph": torch_graph,
    "JAX jit GPU": jax_on("gpu"),
    "JAX scan GPU": jax_on("gpu", scan=True),
    EMPTY: empty_kernels,
}
ON_DEMAND = {"JAX scan": jax_on("cpu", scan=True)}
PEERS = CPU_PEERS | GPU_PEERS | ON_DEMAND


def find(name: str):
    """Give the maker of a peer's step."""
    if name in PEERS:
        return PEERS[name]
    device, way = name.split()[1:]
    return koubai_on(device, way)


def known(name: str) -> bool:
    """Tell whether a name is one of the peers', here or elsewhere."""
    words = name.split()
    ours = len(words) == 3 and words[0] == "koubai" and words[2] in {"eager", "compiled", "epoch"}
    return ours or name in PEERS


def names() -> list[str]:
    """Name the peers for the devices that this machine has."""
    told = subprocess.run(
        [sys.executable, "-m", "koubai", "--json"], check=True, capture_output=True, text=True
    )
    works = [status["device"] for status in json.loads(told.stdout)["devices"] if status["works"]]
    devices = [device for device in works if not device.startswith("array_api_strict")]
    ours = [f"koubai {device} {way}" for device in devices for way in ("compiled", "eager")]
    gpus = [device for device in devices if any(word in device for word in ("cupy", "cuda", "gpu"))]
    epochs = [f"koubai {device} epoch" for device in gpus]
    return [*ours, *epochs, *CPU_PEERS, *(GPU_PEERS if gpus else ())]


def proving_steps(shape: list[int], batch: int) -> int:
    """Tell after how many steps the losses are compared: fewer where a step is long."""
    work = 6 * batch * sum(n * m for n, m in pairwise(shape))
    return max(3, min(TOGETHER, round(PROVING_WORK / work)))


def be_peer(name: str, shape: list[int], batch: int) -> None:
    """Prove the step on a fresh start, then take as many turns as asked to, or tell why not."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # a GPU is for all peers
    try:
        turn = prepare(name, shape, batch)
    except Exception as error:  # noqa: BLE001  (whatever it is, the other peers go on)
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
        answer_with(lambda: {"left out": why})
        return
    answer_with(turn)


def prepare(name: str, shape: list[int], batch: int):
    """Give the function that times a peer, once it has made the steps that prove it."""
    together = TOGETHER if name.rsplit(maxsplit=1)[-1] == "epoch" or "scan" in name else 1
    first, _ = find(name)(*problem([4, 3, 2], 2))
    first()  # the libraries import and set up here what is not to be counted
    drawn = problem(shape, batch)
    forget_peak()
    before = peak()
    step, wait = find(name)(*drawn)
    proving = proving_steps(shape, batch)
    if together > 1:
        loss = step()[proving - 1]
    else:
        for _ in range(proving):
            loss = step()
    wait()
    loss = None if loss is None else loss.item()

    def timed(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            step()
        wait()
        return (time.perf_counter() - start) / calls

    call = min(timed(max(1, min(20, round(STRETCH / timed(1))))) for _ in range(3))
    calls = max(1, round(STRETCH / call))
    stretches = max(3, min(25, round(TURN / (calls * call))))

    def turn() -> dict:
        timed(calls)  # wakes the threads and fills the caches
        found = min(timed(calls) for _ in range(stretches)) / together
        return {"loss": loss, "microseconds": found * 1e6, "MiB": peak() - before}

    return turn


def compare(
    shape: str, batch: int, wanted: Sequence[str], rounds: int, seconds: float, threads: int | None
) -> dict:
    """Ask every peer in turn, round after round, until the rounds or the seconds are over."""
    until = time.monotonic() + seconds
    script = [__file__, "--shape", shape, "--batch", str(batch), "--peer"]
    losses, left_out, memory, times = {}, {}, {}, defaultdict(list)
    with ExitStack() as stack:
        peers = []
        for name in dict.fromkeys([*wanted, EXACT]):  # one after the other, for a quiet start
            peer = stack.enter_context(Peer(name, [*script, name], threads))
            answer = peer.ask({})
            if "left out" in answer:
                left_out[name] = answer["left out"]
                continue
            losses[name] = answer["loss"]
            if name in wanted:
                peers.append(peer)
        check(losses)
        for made in range(max(2, rounds)):
            if made >= 3 and time.monotonic() > until:
                break
            for peer in peers:
                answer = peer.ask({})
                times[peer.name].append(answer["microseconds"])
                memory[peer.name] = round(answer["MiB"], 1)
    return {
        "shape": shape,
        "batch": batch,
        "rounds": max(map(len, times.values()), default=0),
        "threads": threads or "as the libraries choose",
        "proving steps": proving_steps(sizes(shape), batch),
        "loss": losses[EXACT],
        "microseconds": {name: quartiles(found) for name, found in times.items()},
        "MiB": memory,
        "left out": left_out,
    } | ratios(times)


def check(losses: dict) -> None:
    """See that all peers have learnt the same."""
    exact = losses[EXACT]
    for name, loss in losses.items():
        if loss is not None and not abs(loss - exact) <= TOLERANCE * max(exact, LEARNT):
            raise SystemExit(f"{name}: the proving steps end at the loss {loss}, not at {exact}.")


def ratios(times: dict) -> dict:
    """Divide every peer's times by those of the peers that count."""
    others = [
        name for name in times if not name.startswith("koubai") and name not in (FLOOR, EMPTY)
    ]
    best = min(others, key=lambda name: quartiles(times[name])["median"], default=None)
    bases = {"GEMM floor": FLOOR, "best other": best, "torch eager": TORCH, "JAX jit": JAX}
    return {"best other": best} | {
        f"times {words}": {name: ratio(found, times[base]) for name, found in times.items()}
        for words, base in bases.items()
        if base in times
    }


def sizes(shape: str) -> list[int]:
    """Read the sizes in the name of a shape."""
    return [int(size) for size in shape.split("-")]


def show(found: dict) -> None:
    """Print one shape's table."""
    print(f"\nStep of {found['shape']}, batch {found['batch']}; {found['rounds']} rounds.")
    columns = "GEMM floor", "best other", "torch eager", "JAX jit"
    heads = " ".join(f"{f'/ {head}':>8}" for head in ("floor", "best", "torch", "JAX"))
    print(f"{'peer':<26} {'median us':>10} {'quartiles':>19} {heads} {'MiB':>8}")
    for name, spread in found["microseconds"].items():
        around = f"{spread['q1']:,.0f} to {spread['q3']:,.0f}"
        versus = [found.get(f"times {column}", {}).get(name) for column in columns]
        times = " ".join(f"{'-' if value is None else f'{value:.2f}':>8}" for value in versus)
        memory = found["MiB"][name]
        print(f"{name:<26} {spread['median']:>10,.0f} {around:>19} {times} {memory:>8,.1f}")
    if found["best other"]:
        print(f"The best other peer is {found['best other']}.")
    for name, why in found["left out"].items():
        print(f"Left out: {name} ({why})")
    print(f"All reach the loss {found['loss']:.6f} in {found['proving steps']} steps.", flush=True)


def draw(path: Path, shapes: list[dict], place: str) -> None:
    """Draw the medians as bars, a panel a shape, the fastest on top."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    blue, sky, grey, orange = "#0072B2", "#56B4E9", "#999999", "#D55E00"  # for all eyes
    size = max(8, 5.5 * len(shapes)), 5.5
    figure, panels = plt.subplots(1, len(shapes), figsize=size, squeeze=False)
    for panel, found in zip(panels[0], shapes, strict=True):
        spreads = found["microseconds"]
        order = sorted(spreads, key=lambda name: -spreads[name]["median"])
        middles = [spreads[name]["median"] / 1e3 for name in order]
        around = [
            [(spreads[name]["median"] - spreads[name]["q1"]) / 1e3 for name in order],
            [(spreads[name]["q3"] - spreads[name]["median"]) / 1e3 for name in order],
        ]
        colours = [
            (sky if name.endswith("eager") else blue) if name.startswith("koubai") else grey
            for name in order
        ]
        bars = panel.barh(order, middles, xerr=around, color=colours, ecolor="black", capsize=2)
        panel.bar_label(bars, fmt="{:.3g}", padding=4)
        if FLOOR in spreads:
            panel.axvline(spreads[FLOOR]["median"] / 1e3, color=orange, linestyle="--", zorder=0)
        panel.set_title(f"{found['shape']}, batch {found['batch']}")
        panel.set_xlabel("milliseconds a step")
        panel.margins(x=0.15)
        panel.spines[["top", "right"]].set_visible(False)
        for label in panel.get_yticklabels():
            label.set_fontweight("bold" if label.get_text().startswith("koubai") else "normal")
    figure.suptitle("One training step: medians with quartiles; the dashed line is the GEMM floor")
    figure.supxlabel(place, fontsize=7, wrap=True)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = options("Time one training step of every peer.", rounds=25)
    parser.add_argument(
        "--shape", help="inputs, hidden units, classes; else the three of the table"
    )
    parser.add_argument("--batch", type=int, default=100, help="of --shape")
    parser.add_argument("--peers", metavar="NAME,NAME", help="else all that work here")
    parser.add_argument(
        "--seconds", type=float, default=150, help="after which a shape's rounds end, 3 at least"
    )
    parser.add_argument("--threads", type=int, help="of BLAS and OpenMP; else the libraries choose")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the figures there")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.peer:
        be_peer(chosen.peer, sizes(chosen.shape), chosen.batch)
        return
    wanted = chosen.peers.split(",") if chosen.peers else names()
    if strangers := [name for name in wanted if not known(name)]:
        parser.error(f"no such peers: {strangers}; there are koubai DEVICE WAY, {', '.join(PEERS)}")
    told = facts()
    print(headline(told), flush=True)
    shapes = []
    for shape, batch in [(chosen.shape, chosen.batch)] if chosen.shape else SHAPES:
        found = compare(shape, batch, wanted, chosen.rounds, chosen.seconds, chosen.threads)
        show(found)
        shapes.append(found)
    if chosen.json:
        suffix = f", {chosen.threads} thread(s)" if chosen.threads else ""
        record(chosen.json, f"train_step{suffix}", {"shapes": shapes} | told)
    if chosen.chart:
        draw(chosen.chart, shapes, headline(told))


if __name__ == "__main__":
    main()
