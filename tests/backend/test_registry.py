"""The registry: lazy, and no plug-in can break another."""

import importlib
import subprocess
import sys
import threading
import time
from importlib import metadata
from textwrap import dedent

import numpy as np
import pytest

from koubai.backend import Backend, devices, register_backend, selection
from koubai.backend.plugins import Registry
from koubai.errors import BackendError, BackendNotInstalledError, UnknownBackendError
from koubai_numpy import NumpyBackend

PLUG_IN = """
    import numpy as np
    from koubai.backend import Backend

    class Plug(Backend):
        name = "{name}"
        library = "numpy"
        install = "pip install {name}"

        @property
        def xp(self):
            return np
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution that announces backends, as pip would, for one test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def install(package, entry_points, **modules):
        folder = tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in entry_points.items()]
        (folder / "entry_points.txt").write_text("\n".join(["[koubai.backends]", *lines]))
        for module, source in modules.items():
            (tmp_path / f"{module}.py").write_text(dedent(source))
        importlib.invalidate_caches()
        return Registry()

    yield install
    for module in set(sys.modules) - before:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[module]


def make(name="mine", **members):
    """Make a backend class over NumPy."""
    body = {"name": name, "library": "numpy", "install": "pip install mine", "xp": np}
    return type("Mine", (Backend,), body | members)


def test_built_in_backends_come_through_entry_points_in_their_order():
    announced = {point.name for point in metadata.entry_points(group="koubai.backends")}
    assert announced >= {"numpy", "cupy", "torch", "jax", "array_api_strict"}
    assert Registry().names()[:5] == ["numpy", "cupy", "torch", "jax", "array_api_strict"]


def test_importing_koubai_imports_no_array_library_but_numpy():
    code = """
        import sys
        import koubai, koubai.backend, koubai.layers
        koubai.backend.asarray([1.0, 2.0], device="cpu")
        heavy = "torch jax cupy array_api_strict matplotlib pytest pooch".split()
        print([name for name in heavy if name in sys.modules])
    """
    command = [sys.executable, "-W", "error", "-c", dedent(code)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_names_are_read_without_importing_plug_ins(install):
    registry = install(
        "two",
        {"zeta": "zeta_plug:Plug", "alpha": "alpha_plug:Plug"},
        zeta_plug=PLUG_IN.format(name="zeta"),
        alpha_plug=PLUG_IN.format(name="alpha"),
    )
    assert registry.names()[-2:] == ["alpha", "zeta"]
    assert registry.problems() == ()
    registry.owned(np.ones(2))
    registry.owned([1.0])
    assert not {"alpha_plug", "zeta_plug"} & sys.modules.keys()
    assert registry.get("alpha").name == "alpha"
    assert "alpha_plug" in sys.modules
    assert "zeta_plug" not in sys.modules


def test_loading_gives_the_same_backend_each_time():
    registry = Registry()
    assert registry.get("numpy") is registry.get("numpy")


BROKEN = {
    "import error": ("import nowhere_to_be_found", "nowhere_to_be_found"),
    "syntax error": ("def", "SyntaxError"),
    "exits": ("raise RuntimeError('no licence')", "no licence"),
    "not a class": ("Plug = 3", "not a subclass of koubai.backend.Backend"),
    "not a Backend": ("class Plug: pass", "not a subclass of koubai.backend.Backend"),
    "no such name": ("", "Plug"),
    "abstract": (
        "import koubai.backend\nclass Plug(koubai.backend.Backend): name = 'odd'",
        "Plug does not define xp",
    ),
    "no name": (
        "import koubai.backend\nclass Plug(koubai.backend.Backend): xp = 1",
        "Plug.name is not a string",
    ),
    "another name": (PLUG_IN.format(name="other"), "Plug.name is 'other', not 'odd'"),
    "raising __init__": (
        PLUG_IN.format(name="odd") + "\n        def __init__(self): raise OSError('no card')",
        "OSError: no card",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plug_in_is_reported_and_stops_nothing_else(install, monkeypatch, case):
    source, reason = BROKEN[case]
    registry = install("odd_package", {"odd": "odd_plug:Plug"}, odd_plug=source)
    assert registry.get("numpy").name == "numpy"
    with pytest.raises(BackendError, match=r"'odd' is broken: .*") as caught:
        registry.get("odd")
    assert reason in str(caught.value)
    assert "uninstall" in str(caught.value)
    assert caught.value.__cause__ is not None
    (problem,) = registry.problems()
    assert (problem.name, problem.reason) == ("odd", str(caught.value))
    monkeypatch.setattr(selection, "registry", registry)
    (row,) = [status for status in devices() if status.device == "odd"]
    assert (row.state, row.reason) == ("broken", str(caught.value))
    assert [status.state for status in devices() if status.device == "numpy"] == ["works"]


def test_a_plug_in_that_was_mended_works_without_a_restart(install, tmp_path):
    registry = install("odd_package", {"odd": "odd_plug:Plug"}, odd_plug="import nowhere")
    with pytest.raises(BackendError):
        registry.get("odd")
    assert registry.problems()
    (tmp_path / "odd_plug.py").write_text(dedent(PLUG_IN.format(name="odd")))
    importlib.invalidate_caches()
    assert registry.get("odd").name == "odd"
    assert registry.problems() == ()


@pytest.mark.parametrize("name", ["Bad-Name", "cuda", "gpu", "cpu", "auto", "1st", "a.b"])
def test_a_bad_name_is_reported_and_passed_over(install, monkeypatch, name):
    registry = install("rude", {name: "rude_plug:Plug"}, rude_plug=PLUG_IN.format(name=name))
    assert name not in registry.names()
    (problem,) = registry.problems()
    assert problem.name == name
    assert repr(name) in problem.reason
    assert "rude_plug:Plug of rude" in problem.reason
    monkeypatch.setattr(selection, "registry", registry)
    assert [(s.device, s.state) for s in devices() if s.device == name] == [(name, "broken")]


def test_a_built_in_backend_wins_over_a_repeated_name(install):
    registry = install(
        "aaa_first_in_the_alphabet",
        {"numpy": "thief:Plug"},
        thief=PLUG_IN.format(name="numpy"),
    )
    assert isinstance(registry.get("numpy"), NumpyBackend)
    (problem,) = registry.problems()
    assert problem.name == "numpy"
    assert "taken by koubai_numpy:NumpyBackend of koubai" in problem.reason
    assert "thief:Plug of aaa_first_in_the_alphabet is passed over" in problem.reason


def test_of_two_plug_ins_with_one_name_the_first_package_wins_and_both_are_named(install):
    install("second", {"twin": "second_plug:Plug"}, second_plug="Plug = None")
    registry = install("first", {"twin": "first_plug:Plug"}, first_plug=PLUG_IN.format(name="twin"))
    assert type(registry.get("twin")).__module__ == "first_plug"
    (problem,) = registry.problems()
    assert "first_plug:Plug of first" in problem.reason
    assert "second_plug:Plug of second" in problem.reason


def test_the_same_plug_in_found_twice_is_no_problem(install):
    install("old", {"twin": "twin_plug:Plug"}, twin_plug=PLUG_IN.format(name="twin"))
    registry = install("new", {"twin": "twin_plug:Plug"})
    assert registry.get("twin").name == "twin"
    assert registry.problems() == ()


def test_names_are_read_again_after_reading_them_failed(monkeypatch):
    registry = Registry()
    with monkeypatch.context() as broken:
        broken.setattr(metadata, "entry_points", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            registry.names()
    assert "numpy" in registry.names()


def test_an_unknown_backend_is_answered_with_the_known_ones_and_a_guess():
    with pytest.raises(UnknownBackendError, match=r"no backend 'nmupy'") as caught:
        Registry().get("nmupy")
    assert "Did you mean 'numpy'?" in str(caught.value)
    assert "array_api_strict" in str(caught.value)


def test_a_name_like_no_other_gets_no_guess():
    with pytest.raises(UnknownBackendError) as caught:
        Registry().get("zzzzzz")
    assert "Did you mean" not in str(caught.value)


def test_a_missing_library_is_told_from_one_that_cannot_be_imported(monkeypatch):
    def importing(error):
        def xp(self):
            raise error

        return property(xp)

    registry = Registry()
    registry.register(make(library="lib.core", xp=importing(ModuleNotFoundError(name="lib"))))
    with pytest.raises(BackendNotInstalledError, match=r"needs lib.core.*pip install mine"):
        registry.get("mine")
    for error in (
        ModuleNotFoundError("no 'lib.core.cuda'", name="lib.core.cuda"),
        ModuleNotFoundError("no 'library'", name="library"),
        ImportError("libcudart.so.13: cannot open"),
        OSError("libcudart.so.13: cannot open"),
        AttributeError("partially initialised"),
    ):
        registry.register(make(library="lib.core", xp=importing(error)))
        with pytest.raises(BackendError, match=r"installed but cannot be imported") as caught:
            registry.get("mine")
        assert f"{type(error).__name__}: {error}" in str(caught.value)
        assert "pip install mine" in str(caught.value)
        assert caught.value.__cause__ is error


def test_a_backend_registered_by_hand_is_found_last_and_replaced_when_registered_again():
    registry = Registry()
    first, second = make(), make()
    registry.register(first)
    assert registry.names()[-1] == "mine"
    assert type(registry.get("mine")) is first
    registry.register(second)
    assert type(registry.get("mine")) is second


def test_a_backend_registered_again_after_it_failed_is_no_problem_any_more():
    registry = Registry()
    registry.register(make(__init__=lambda self: 1 / 0))
    with pytest.raises(BackendError, match="ZeroDivisionError"):
        registry.get("mine")
    assert [problem.name for problem in registry.problems()] == ["mine"]
    registry.register(make())
    assert registry.problems() == ()


def test_register_backend_is_a_decorator(monkeypatch):
    registry = Registry()
    monkeypatch.setattr(selection, "registry", registry)
    kind = make("decorated")
    assert register_backend(kind) is kind
    assert type(registry.get("decorated")) is kind


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (make("numpy"), "'numpy' belongs to an installed backend"),
        (make("torch"), "'torch' belongs to an installed backend"),
        (make("cuda"), "'cuda' is a short form"),
        (make("Bad-Name"), "'Bad-Name' is not a name: lower-case letters"),
        (make(""), "'' is not a name"),
        (make(library=None), "Mine.library is not a string"),
        (type("Half", (Backend,), {"name": "half"}), "Half does not define xp"),
        (dict, "not a subclass of koubai.backend.Backend"),
        ("numpy", "not a subclass of koubai.backend.Backend"),
    ],
)
def test_register_refuses_what_is_no_backend_or_has_no_free_name(kind, reason):
    registry = Registry()
    with pytest.raises(BackendError, match=r"^register_backend: ") as caught:
        registry.register(kind)
    assert reason in str(caught.value)
    assert "numpy" in registry.names()


def test_a_backend_that_fails_when_it_is_asked_does_not_own_the_array():
    def owns(self, array):
        raise OSError

    class Unknown:
        """An array of no backend, so that every one is asked."""

    registry = Registry()
    registry.register(make("raises", owns=owns))
    registry.register(make("asleep", library="not_imported_yet", owns=lambda self, array: True))
    registry.register(make("broken", __init__=lambda self: 1 / 0))
    registry.register(make("owner", owns=lambda self, array: isinstance(array, Unknown)))
    backend, _ = registry.owned(Unknown())
    assert backend.name == "owner"
    assert registry.owned(type("Nobodys", (), {})()) is None


def in_threads(count, work):
    """Run ``work`` in threads that start together; give their results."""
    start, results = threading.Barrier(count), []

    def run():
        start.wait()
        results.append(work())

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert len(results) == count
    return results


def test_threads_that_load_at_once_get_one_backend(install):
    slow = "\n        def __init__(self): import time; time.sleep(0.05)"
    registry = install(
        "slow", {"slow": "slow_plug:Plug"}, slow_plug=PLUG_IN.format(name="slow") + slow
    )
    assert len(set(in_threads(8, lambda: registry.get("slow")))) == 1


def test_threads_that_read_the_names_at_once_all_see_them(monkeypatch):
    read, count = metadata.entry_points, []

    def slowly(**which):
        count.append(which)
        time.sleep(0.05)
        return read(**which)

    monkeypatch.setattr(metadata, "entry_points", slowly)
    registry = Registry()
    assert all("numpy" in names for names in in_threads(8, registry.names))
    assert len(count) == 1


def test_a_plug_in_may_use_the_registry_while_it_is_imported(install, monkeypatch):
    waiting = threading.Event()
    source = "import used_registry\nused_registry.body()\n" + dedent(PLUG_IN.format(name="deep"))
    registry = install("deep", {"deep": "deep_plug:Plug"}, deep_plug=source, used_registry="")
    registry.names()

    def body():
        waiting.set()
        time.sleep(0.2)  # by now the other thread waits for this import
        in_threads(1, registry.problems)

    monkeypatch.setattr(importlib.import_module("used_registry"), "body", body, raising=False)
    importer = threading.Thread(target=importlib.import_module, args=["deep_plug"], daemon=True)
    importer.start()
    assert waiting.wait(10)
    (backend,) = in_threads(1, lambda: registry.get("deep"))
    importer.join(10)
    assert backend.name == "deep"
