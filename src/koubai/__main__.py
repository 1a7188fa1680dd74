"""The command ``koubai``: what works here, the proof of every gradient, and training."""

import argparse
import difflib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict

import koubai
from koubai.backend import DeviceStatus, devices, get_default_device
from koubai.commands.training import add_commands
from koubai.errors import KoubaiError
from koubai.gradcheck.cases import CASES, Case
from koubai.gradcheck.sweep import Finding, sweep
from koubai.testing import cells

_LIBRARIES = ("numpy", "array-api-compat", "array-api-extra")
_GREEN, _RED, _YELLOW = "32", "31", "33"
_COLOURS = dict.fromkeys(("PASS", "works"), _GREEN)
_COLOURS |= dict.fromkeys(("FAIL", "KINK", "NOISE", "broken", "missing"), _RED)
_COLOURS |= dict.fromkeys(("skip", "not installed", "no usable device"), _YELLOW)


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line without the program's name; by default that of the process.

    Returns
    -------
    int
        The exit status: 0, or 1 when a check failed or what was asked for is not there.

    Raises
    ------
    SystemExit
        With status 2 for a command line that cannot be understood.
    """
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.json and chosen.command:
        parser.error("--json goes with the table of devices only")
    try:
        return _show_devices(as_json=chosen.json) if chosen.command is None else chosen.run(chosen)
    except KoubaiError as error:
        sys.stderr.write(f"koubai: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="koubai",
        description="Show which array libraries and devices work here; prove every gradient; "
        "train, evaluate and predict.",
    )
    parser.add_argument("--version", action="version", version=f"koubai {koubai.__version__}")
    parser.add_argument("--json", action="store_true", help="print the devices for machines")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    check = commands.add_parser("check", help="prove the gradients of every layer, everywhere")
    check.add_argument("--backend", metavar="NAME,...", help="only these; they must be there")
    check.add_argument("--layer", metavar="NAME,...", help="only these layers and networks")
    check.set_defaults(run=_check)
    add_commands(commands)
    return parser


def _show_devices(*, as_json: bool) -> int:
    table = devices()
    versions = {name: _version(name) for name in _LIBRARIES}
    if as_json:
        facts = {
            "koubai": koubai.__version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "libraries": versions,
            "default_device": _default_device(),
            "devices": [asdict(status) | {"works": status.works} for status in table],
        }
        print(json.dumps(facts, indent=2))
        return 0
    rows = [("backend", "version", "device", "state")]
    rows += [(_backend(s), s.version or "-", s.device, s.state) for s in table]
    first, second, third, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    for backend, version, place, state in rows:
        print(f"{backend:<{first}}  {version:<{second}}  {place:<{third}}  {_coloured(state)}")
    if idle := [status for status in table if not status.works]:
        print("\nWhat does not work, and what mends it:")
        for status in idle:
            print(f"  {status.device}: {status.reason}")
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    print(f"\nDefault device: {_default_device()}")
    print(f"koubai {koubai.__version__}, Python {platform.python_version()}, {libraries}")
    print(platform.platform())
    return 0


def _check(chosen: argparse.Namespace) -> int:
    names = _split(chosen.backend)
    cases = _cases(_split(chosen.layer))
    found_cells = cells(names or None)
    absent = {cell.device: cell.reason for cell in found_cells if cell.reason}
    first = max(len("layer"), *(len(case.name) for case in cases))
    second = max(len("device"), *(len(cell.device) for cell in found_cells))
    print(f"{'layer':<{first}}  {'device':<{second}}  dtype    largest error  tolerance  verdict")
    findings = []
    for finding in sweep(found_cells, cases):
        findings.append(finding)
        print(_line(finding, first, second))
    for name, reason in absent.items():
        word = _coloured("missing" if names else "skip")
        print(f"{word}  {reason if reason.startswith(name) else f'{name}: {reason}'}")
    failed = [finding for finding in findings if not finding.passed]
    for finding in failed:
        print(f"\n{finding.cell}: {finding.report or finding.remark}")
    missing = f", {len(absent)} missing" if names and absent else ""
    print(f"\n{len(findings) - len(failed)} proved, {len(failed)} failed{missing}")
    return 1 if failed or not findings or missing else 0


def _split(names: str | None) -> list[str]:
    return [name.strip() for name in (names or "").split(",") if name.strip()]


def _cases(layers: list[str]) -> list[Case]:
    by_layer: dict[str, list[Case]] = {}
    for case in CASES:
        by_layer.setdefault(case.name.partition("-")[0], []).append(case)
    for name in layers:
        if name not in by_layer:
            close = difflib.get_close_matches(name.lower(), map(str.lower, by_layer), n=1)
            hint = [f" Did you mean {known!r}?" for known in by_layer if known.lower() in close]
            raise KoubaiError(
                f"no layer or network is called {name!r}.{''.join(hint)} "
                f"Known are {', '.join(by_layer)}."
            )
    return [case for name in by_layer if not layers or name in layers for case in by_layer[name]]


def _line(finding: Finding, width: int, place: int) -> str:
    numbers, verdict = f"{'-':>13}  {'-':>9}", "FAIL"
    if finding.report:
        row = finding.report.worst
        verdict = row.verdict
        if not row.note:
            numbers = f"{row.error:>13.1e}  {row.tolerance:>9.1e}"
    start = f"{finding.case:<{width}}  {finding.cell.device:<{place}}  {finding.cell.dtype:<7}"
    return f"{start}  {numbers}  {_coloured(verdict)}"


def _backend(status: DeviceStatus) -> str:
    return status.device.partition(":")[0]


def _default_device() -> str:
    try:
        return str(get_default_device())
    except KoubaiError as error:
        return "; ".join([str(error), *getattr(error, "__notes__", ())])


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _coloured(word: str) -> str:
    if word in _COLOURS and sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        return f"\033[{_COLOURS[word]}m{word}\033[0m"
    return word


if __name__ == "__main__":
    sys.exit(main())
