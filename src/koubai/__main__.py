"""The command ``koubai``: what works here, and the proof of every gradient."""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict

import koubai
from koubai.backend import DeviceStatus, devices, get_default_device
from koubai.errors import KoubaiError
from koubai.gradcheck.cases import CASES
from koubai.gradcheck.sweep import Finding, sweep
from koubai.testing import cells

_LIBRARIES = ("numpy", "array-api-compat", "array-api-extra")
_COLOURS = {"PASS": "32", "works": "32", "FAIL": "31", "KINK": "31", "broken": "31", "skip": "33"}


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
    """
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        return _check(chosen) if chosen.command == "check" else _show_devices(as_json=chosen.json)
    except KoubaiError as error:
        sys.stderr.write(f"koubai: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="koubai",
        description="Show which array libraries and devices work here; prove every gradient.",
    )
    parser.add_argument("--version", action="version", version=f"koubai {koubai.__version__}")
    parser.add_argument("--json", action="store_true", help="print the devices for machines")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    check = commands.add_parser("check", help="prove the gradients of every layer, everywhere")
    check.add_argument("--backend", metavar="NAME,...", help="only these; they must be there")
    check.add_argument("--layer", metavar="NAME,...", help="only these layers and networks")
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
    names = chosen.backend.split(",") if chosen.backend else None
    layers = chosen.layer.split(",") if chosen.layer else None
    cases = [case for case in CASES if not layers or case.name.partition("-")[0] in layers]
    if not cases:
        known = ", ".join(dict.fromkeys(case.name.partition("-")[0] for case in CASES))
        raise KoubaiError(f"no layer is called {chosen.layer}. Known are {known}.")
    found_cells = cells(names)
    absent = {cell.device: cell.reason for cell in found_cells if cell.reason}
    width = max(len(case.name) for case in cases)
    place = max(len(cell.device) for cell in found_cells)
    print(
        f"{'layer':<{width}}  {'device':<{place}}  {'dtype':<7}  largest error  tolerance  verdict"
    )
    findings = []
    for finding in sweep(found_cells, cases):
        findings.append(finding)
        print(_line(finding, width, place))
    for name, reason in absent.items():
        print(f"{_coloured('skip')} {reason if reason.startswith(name) else f'{name}: {reason}'}")
    failed = [finding for finding in findings if not finding.passed]
    for finding in failed:
        print(f"\n{finding.cell}: {finding.report or finding.remark}")
    print(f"\n{len(findings) - len(failed)} proved, {len(failed)} failed")
    return 1 if failed or not findings or (names and absent) else 0


def _line(finding: Finding, width: int, place: int) -> str:
    row = finding.report.worst if finding.report else None
    numbers = f"{row.error:>13.1e}  {row.tolerance:>9.1e}" if row else f"{'-':>13}  {'-':>9}"
    verdict = row.verdict if row else "FAIL"
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
    if word in _COLOURS and sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        return f"\033[{_COLOURS[word]}m{word}\033[0m"
    return word


if __name__ == "__main__":
    sys.exit(main())
