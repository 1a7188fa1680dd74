"""The pytest plug-in: fixtures that run a test on every device, and options to choose among them.

Options
-------
--backend NAME,...
    Only these backends.
--require-backend NAME,...
    The run fails unless each of these has a working device; nothing is skipped quietly.

An option that a project or another plug-in has under the same name stays theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from koubai.backend import device, registry
from koubai.errors import UnknownBackendError
from koubai.testing.cells import Cell, cells

if TYPE_CHECKING:
    from collections.abc import Iterator

    from koubai.backend import Device

__all__ = ["koubai_device", "koubai_dtype"]

_OPTIONS = {
    "--backend": "run the tests that take koubai_device only on these backends",
    "--require-backend": "fail unless each of these backends has a working device",
}
_cells = pytest.StashKey[list[Cell]]()

pytest.register_assert_rewrite("koubai.testing.conformance")


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(parser: pytest.Parser) -> Iterator[None]:
    """Add the options after those of all others, so that no name is taken from a project."""
    yield
    group = parser.getgroup("koubai", "koubai: array libraries and devices")
    for option, text in _OPTIONS.items():
        if _is_free(parser, option):
            group.addoption(option, dest=_dest(option), metavar="NAME,...", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """See that the backends that were asked for are there, before anything runs."""
    for option in _OPTIONS:
        for name in _names(config, option):
            try:
                registry.load(name)
            except UnknownBackendError as error:
                raise pytest.UsageError(f"{option} {name}: {error}") from error
            except Exception:  # noqa: BLE001, S110  (a broken plug-in: its cells tell of it)
                pass
    for name in _names(config, "--require-backend"):
        found = cells([name])
        if all(cell.reason for cell in found):
            raise pytest.UsageError(f"--require-backend {name}: {found[0].reason}")


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Spread a test that asks for a device, and perhaps a dtype, over all of them."""
    if "koubai_dtype" in metafunc.fixturenames:
        found = _all_cells(metafunc.config)
        ids = [str(cell) for cell in found]
        values = [(cell, cell.dtype) for cell in found]
        metafunc.parametrize(("koubai_device", "koubai_dtype"), values, indirect=True, ids=ids)
    elif "koubai_device" in metafunc.fixturenames:
        by_device = {cell.device: cell for cell in _all_cells(metafunc.config)}
        metafunc.parametrize(
            "koubai_device", list(by_device.values()), indirect=True, ids=list(by_device)
        )


@pytest.fixture
def koubai_device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """Give a device of one backend, proved to work; skip, with the reason, where it does not."""
    cell: Cell = request.param
    if cell.reason:
        pytest.skip(cell.reason)
    place = device(cell.device)
    with place.backend.scope(place.name):
        yield place


@pytest.fixture
def koubai_dtype(request: pytest.FixtureRequest, koubai_device: Device) -> Iterator[str]:
    """Give the name of a dtype of the device; float64 works for as long as the test runs."""
    dtype: str = request.param
    if dtype != "float64":
        yield dtype
        return
    with koubai_device.backend.float64():
        yield dtype


def _all_cells(config: pytest.Config) -> list[Cell]:
    if _cells not in config.stash:
        chosen = _names(config, "--backend")
        required = _names(config, "--require-backend") if chosen else []
        config.stash[_cells] = cells(dict.fromkeys([*chosen, *required]) or None)
    return config.stash[_cells]


def _names(config: pytest.Config, option: str) -> list[str]:
    value: str | None = config.getoption(_dest(option), None)
    return [name.strip() for name in (value or "").split(",") if name.strip()]


def _dest(option: str) -> str:
    return "koubai_" + option.lstrip("-").replace("-", "_")


def _is_free(parser: pytest.Parser, option: str) -> bool:
    try:
        return option in parser.parse_known_and_unknown_args([option])[1]
    except pytest.UsageError:  # there is one, and it wants a value
        return False
