"""What the benchmarks share: peers in processes of their own, quartiles, facts, the record."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Self

_REST = 0.1  # seconds in which the thread pool of the last peer goes to sleep
_PATIENCE = 1.5  # seconds, at most, of waiting for other programs to leave a core alone
_QUIET = 0.95  # the part of the machine that is idle when nobody else is at work
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_LIBRARIES = (
    *("koubai", "numpy", "array-api-compat", "torch", "jax", "thinc"),
    *("cupy-cuda12x", "cupy-cuda13x"),
)


class Peer:
    """A contestant in a process of its own, which answers each question with a line of JSON."""

    def __init__(self, name: str, arguments: Iterable[str], threads: int | None = None) -> None:
        self.name = name
        limits = dict.fromkeys(_THREADS, str(threads)) if threads else {}
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | limits,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()  # the end of the questions ends the peer
        self._process.wait()

    def ask(self, question: dict) -> dict:
        """Ask in a quiet moment, and wait for the answer; meanwhile every other peer sleeps."""
        _wait_for_quiet()
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.name}: the peer ended with status {self._process.wait()}.")
        return json.loads(answer)


def options(description: str, rounds: int) -> argparse.ArgumentParser:
    """Give the options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each is timed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="record the figures there")
    return parser


def answer_with(function) -> None:
    """Be a peer: answer every question on standard input with what the function makes of it."""
    for line in sys.stdin:
        print(json.dumps(function(**json.loads(line))), flush=True)


def quartiles(values: list[float], digits: int = 4) -> dict:
    """Give the median and the quartiles around it, to a few digits."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    named = {"median": middle, "q1": low, "q3": high}
    return {name: float(f"{value:.{digits}g}") for name, value in named.items()}


def ratio(values: list[float], base: list[float]) -> float:
    """Give the median over the rounds of a ratio; the rounds' noise is common to both."""
    return round(statistics.median(v / b for v, b in zip(values, base, strict=True)), 3)


def forget_peak() -> None:
    """Let Linux count the peak of memory anew; elsewhere it stays that of the whole process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """Give the most memory, in MiB, that this process has held."""
    import resource  # which Windows does not have

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def facts() -> dict:
    """Tell of the machine and the libraries, and the day."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu(),
        **({"gpu": gpu} if (gpu := _gpu()) else {}),
        "cores": _cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: version for name in _LIBRARIES if (version := _version(name))},
    }


def headline(told: Mapping) -> str:
    """Put the facts into one line."""
    libraries = ", ".join(f"{name} {version}" for name, version in told["libraries"].items())
    gpu = f", {told['gpu']}" if "gpu" in told else ""
    place = f"{told['cpu']}, {told['cores']} cores{gpu}, {told['system']}"
    return f"{told['date']}; {place}; Python {told['python']}; {libraries}"


def record(path: Path, benchmark: str, found: Mapping) -> None:
    """Write what a benchmark found into a JSON file, beside what others have put there."""
    known = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known | {benchmark: found}, indent=2) + "\n")


def _wait_for_quiet() -> None:
    patient_until = time.monotonic() + _PATIENCE
    while True:
        before = _idle_and_all_ticks()
        time.sleep(_REST)
        idle, ticks = (now - then for now, then in zip(_idle_and_all_ticks(), before, strict=True))
        if idle >= _QUIET * ticks or time.monotonic() > patient_until:
            return


def _idle_and_all_ticks() -> tuple[int, int]:
    """Read what Linux counts of the processors' time; elsewhere every moment is quiet."""
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text().split()[1:9]]
    except OSError:
        return 0, 0
    return ticks[3] + ticks[4], sum(ticks)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    described = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    return described.get("model name", platform.machine())


def _gpu() -> str:
    """Ask NVIDIA's tool, where it is, for the names of the GPUs and their driver."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return "; ".join(line.replace(",", ", driver") for line in told.splitlines())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
