"""How the time of one training step grows with the batch and with the width of the network.

The peers, and the way they are timed, are those of train_step.py.
"""

from itertools import chain
from pathlib import Path

from measuring import facts, headline, options, record
from train_step import FLOOR, JAX, TORCH, compare

PEERS = ("koubai numpy compiled", TORCH, JAX, FLOOR)
SERIES = {
    "batch": [("784-50-10", batch) for batch in (1, 10, 100, 1000)],
    "hidden units": [(f"784-{width}-10", 100) for width in (32, 128, 512, 2048)],
}


def place_on_axis(series: str, found: dict) -> int:
    """Tell which number of a step the series varies."""
    return found["batch"] if series == "batch" else int(found["shape"].split("-")[1])


def show(series: str, steps: list[dict]) -> None:
    """Print what a step takes, a line for each of the series."""
    names = list(dict.fromkeys(chain.from_iterable(step["microseconds"] for step in steps)))
    print(f"\n{series:<13}" + "".join(f"{name:>23}" for name in names) + "  microseconds (/ floor)")
    for step in steps:
        cells = []
        for name in names:
            middle, times = step["microseconds"][name]["median"], step["times GEMM floor"][name]
            cells.append(f"{f'{middle:,.0f} ({times:.2f})':>23}")
        print(f"{place_on_axis(series, step):<13}" + "".join(cells))
    for name, why in steps[0]["left out"].items():
        print(f"Left out: {name} ({why})")


def draw(path: Path, found: dict[str, list[dict]], place: str) -> None:
    """Draw a line for each peer, a panel for each series."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    looks = {  # colours, and marks, that all eyes tell apart
        PEERS[0]: {"color": "#0072B2", "marker": "o", "linewidth": 2.5},
        TORCH: {"color": "#D55E00", "marker": "s"},
        JAX: {"color": "#009E73", "marker": "^"},
        FLOOR: {"color": "#999999", "marker": "", "linestyle": "--"},
    }
    figure, panels = plt.subplots(1, len(found), figsize=(11, 5), sharey=True)
    for panel, (series, steps) in zip(panels, found.items(), strict=True):
        where = [place_on_axis(series, step) for step in steps]
        for name in steps[0]["microseconds"]:
            spreads = [step["microseconds"][name] for step in steps]
            panel.plot(where, [s["median"] for s in spreads], label=name, **looks[name])
            low, high = ([s[end] for s in spreads] for end in ("q1", "q3"))
            panel.fill_between(where, low, high, color=looks[name]["color"], alpha=0.2)
        fixed = "784-50-10" if series == "batch" else "784-N-10, batch 100"
        panel.set(xscale="log", yscale="log", title=fixed, xlabel=series)
        panel.set_xticks(where, [f"{number:,}" for number in where])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("microseconds a step")
    panels[0].legend()
    figure.supxlabel(place, fontsize=7, wrap=True)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = options("Time a training step as the batch and the network grow.", rounds=11)
    parser.add_argument(
        "--seconds", type=float, default=60, help="after which a step's rounds end, 3 at least"
    )
    parser.add_argument("--threads", type=int, help="of BLAS and OpenMP; else the libraries choose")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the figures there")
    chosen = parser.parse_args()
    told = facts()
    print(headline(told), flush=True)
    found = {}
    for series, steps in SERIES.items():
        found[series] = [
            compare(shape, batch, PEERS, chosen.rounds, chosen.seconds, chosen.threads)
            for shape, batch in steps
        ]
        show(series, found[series])
    if chosen.json:
        suffix = f", {chosen.threads} thread(s)" if chosen.threads else ""
        record(chosen.json, f"scaling{suffix}", found | told)
    if chosen.chart:
        draw(chosen.chart, found, headline(told))


if __name__ == "__main__":
    main()
