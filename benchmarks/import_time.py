"""How long ``import koubai`` takes, as a multiple of ``import numpy``, in fresh processes."""

import subprocess
import sys

from measuring import facts, headline, options, quartiles, ratio, record

MODULES = ("numpy", "koubai")
TIMED = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def milliseconds_to_import(module: str) -> float:
    """Import a module in a process that has imported nothing."""
    command = [sys.executable, "-c", TIMED.format(module)]
    return 1e3 * float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(rounds: int) -> dict:
    """Import both in turn, round after round; the first brings the files into memory."""
    rows = [[milliseconds_to_import(module) for module in MODULES] for _ in range(rounds + 1)][1:]
    times = dict(zip(MODULES, map(list, zip(*rows, strict=True)), strict=True))
    return {
        "rounds": rounds,
        "milliseconds": {name: quartiles(found) for name, found in times.items()},
        "koubai / numpy": ratio(times["koubai"], times["numpy"]),
    }


def main() -> None:
    chosen = options("Time import koubai against import numpy.", rounds=41).parse_args()
    found = compare(chosen.rounds) | facts()
    print(f"Import, {chosen.rounds} rounds of fresh processes.")
    print(headline(found))
    for name, spread in found["milliseconds"].items():
        around = f"quartiles {spread['q1']:.0f} to {spread['q3']:.0f}"
        print(f"{name:<7} {spread['median']:>5.0f} ms, {around}")
    print(f"import koubai takes {found['koubai / numpy']:.2f} times as long as import numpy.")
    if chosen.json:
        record(chosen.json, "import_time", found)


if __name__ == "__main__":
    main()
