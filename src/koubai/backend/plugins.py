"""The registry: backends found through entry points, loaded when they are asked for."""

import difflib
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, cast

from koubai.backend.contract import Backend
from koubai.errors import BackendError, BackendNotInstalledError, UnknownBackendError
from koubai.typing import Array

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["BUILT_IN", "GROUP", "Problem", "Registry", "registry"]

GROUP = "koubai.backends"
BUILT_IN = ("numpy", "cupy", "torch", "jax", "array_api_strict")
RESERVED = frozenset({"cpu", "cuda", "gpu", "auto"})
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Problem:
    """A plug-in that could not be taken in: its name, and why."""

    name: str
    reason: str


class Registry:
    """The backends by name; a broken one is a `Problem` and stops no other."""

    def __init__(self) -> None:
        self._found: dict[str, EntryPoint] | None = None  # None until they are read
        self._registered: dict[str, type[Backend]] = {}
        self._loaded: dict[str, Backend] = {}
        self._passed_over: list[Problem] = []
        self._failed: dict[str, Problem] = {}
        self._lock = RLock()

    def names(self) -> list[str]:
        """Name all backends: the built-in ones in their order, then plug-ins by name."""
        known = self._entry_points().keys() | self._registered.keys()
        built_in = [name for name in BUILT_IN if name in known]
        return built_in + sorted(known.difference(BUILT_IN))

    def problems(self) -> tuple[Problem, ...]:
        """Tell of the plug-ins that were passed over, and of those that failed to load."""
        self._entry_points()
        return (*self._passed_over, *self._failed.values())

    def register(self, backend: type[Backend]) -> None:
        """Take in a backend class; one registered before under the name gives way."""
        reason = _bad_class(backend) or _bad_name(backend.name)
        if not reason and backend.name in self._entry_points():
            reason = f"the name {backend.name!r} belongs to an installed backend; choose another"
        if reason:
            raise BackendError(f"register_backend: {reason}.")
        with self._lock:
            self._registered[backend.name] = backend
            self._loaded.pop(backend.name, None)
            self._failed.pop(backend.name, None)

    def get(self, name: str) -> Backend:
        """Load a backend and its library; every way to fail has an error of its own."""
        backend = self.load(name)
        try:
            backend.xp  # noqa: B018  (the library is imported here)
        except Exception as error:
            raise _import_failed(backend, error) from error
        return backend

    def load(self, name: str) -> Backend:
        """Load a backend without its library."""
        if name in self._loaded:
            return self._loaded[name]
        if name not in self.names():
            raise self._unknown(name)
        try:
            return self._make(name)
        except Exception as error:
            failure = BackendError(
                f"The backend plug-in {name!r} is broken: {type(error).__name__}: {error}. "
                "Mend or uninstall the package that provides it; other backends still work."
            )
            self._failed[name] = Problem(name, str(failure))
            raise failure from error

    def owned(self, array: object) -> tuple[Backend, Array] | None:
        """Find the backend whose array this is, among those whose library is imported."""
        if type(array).__module__ == "builtins":
            return None
        for name in self.names():
            try:
                backend = self.load(name)
            except BackendError:
                continue
            if backend.library in sys.modules and _owns(backend, array):
                return backend, cast(Array, array)
        return None

    def _entry_points(self) -> dict[str, "EntryPoint"]:
        with self._lock:
            if self._found is None:
                from importlib.metadata import entry_points  # noqa: PLC0415  (30 ms)

                self._found, self._passed_over = _choose(entry_points(group=GROUP))
            return self._found

    def _make(self, name: str) -> Backend:
        # A module is imported outside the lock: Python has a lock of its own for each, and
        # whoever holds that one may be waiting for this one.
        kind = self._registered.get(name) or self._entry_points()[name].load()
        if reason := _bad_class(kind):
            raise TypeError(reason)
        if kind.name != name:
            raise ValueError(f"{kind.__name__}.name is {kind.name!r}, not {name!r}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = kind()
                self._failed.pop(name, None)
            return self._loaded[name]

    def _unknown(self, name: str) -> UnknownBackendError:
        close = difflib.get_close_matches(name.lower(), [*self.names(), *RESERVED], n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return UnknownBackendError(
            f"There is no backend {name!r}.{hint} Known are {', '.join(self.names())}; "
            f"a plug-in is announced by an entry point of the group {GROUP!r}."
        )


def _choose(points: Iterable["EntryPoint"]) -> tuple[dict[str, "EntryPoint"], list[Problem]]:
    found: dict[str, EntryPoint] = {}
    problems: list[Problem] = []
    for point in sorted(points, key=_precedence):
        if reason := _bad_name(point.name):
            problems.append(Problem(point.name, f"{reason} ({_source(point)})"))
        elif point.name not in found:
            found[point.name] = point
        elif found[point.name].value != point.value:
            problems.append(
                Problem(
                    point.name,
                    f"the name is taken by {_source(found[point.name])}; "
                    f"the one of {_source(point)} is passed over",
                )
            )
    return found, problems


def _precedence(point: "EntryPoint") -> tuple[bool, str, str]:
    package = _package(point)
    return package != "koubai", package, point.value


def _source(point: "EntryPoint") -> str:
    return f"{point.value} of {_package(point)}"


def _package(point: "EntryPoint") -> str:
    return (point.dist and point.dist.name) or "an unnamed package"


def _bad_name(name: str) -> str:
    if name in RESERVED:
        return f"{name!r} is a short form that names a device, not a backend"
    if not _NAME.fullmatch(name):
        return f"{name!r} is not a name: lower-case letters, digits and underscores are"
    return ""


def _bad_class(kind: object) -> str:
    if not (isinstance(kind, type) and issubclass(kind, Backend)):
        return f"{kind!r} is not a subclass of koubai.backend.Backend"
    if kind.__abstractmethods__:
        return f"{kind.__name__} does not define {', '.join(sorted(kind.__abstractmethods__))}"
    for member in ("name", "library", "install"):
        if not isinstance(getattr(kind, member, None), str):
            return f"{kind.__name__}.{member} is not a string"
    return ""


def _owns(backend: Backend, array: object) -> bool:
    try:
        return backend.owns(array)
    except Exception:  # noqa: BLE001  (a plug-in that fails here simply does not own it)
        return False


def _import_failed(backend: Backend, error: Exception) -> BackendError | BackendNotInstalledError:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{backend.library}.".startswith(f"{missing}."):
        return BackendNotInstalledError(
            f"The backend {backend.name!r} needs {backend.library}, which is not installed. "
            f"Install it with: {backend.install}"
        )
    return BackendError(
        f"The backend {backend.name!r}: {backend.library} is installed but cannot be imported: "
        f"{type(error).__name__}: {error}. Installing it anew may help: {backend.install}"
    )


registry = Registry()
