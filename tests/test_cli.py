"""The command ``koubai``: what it shows, and the exit status that a script relies on."""

import json
import platform
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import koubai
import koubai.__main__ as command
from koubai.backend import Backend, registry
from koubai.gradcheck.cases import CASES, Case

NUMPY = ["--backend", "numpy"]


@pytest.fixture
def plug_in():
    """Register a backend for one test."""

    def plug_in(**members):
        body = {"name": "mine", "library": "numpy", "install": "pip install mine", "xp": np}
        registry.register(type("Mine", (Backend,), body | members))

    yield plug_in
    for part in (registry._registered, registry._loaded, registry._failed):
        part.pop("mine", None)


@pytest.fixture
def without_numpy(plug_in):
    """Register a backend whose library is not installed."""

    def xp(self):
        raise ModuleNotFoundError(name="numpy")

    plug_in(xp=property(xp))


def on_a_terminal(monkeypatch, no_color=""):
    """Make the captured output look like a terminal."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", no_color)


def with_cases(monkeypatch, *cases):
    monkeypatch.setattr(command, "CASES", cases)


# koubai


def test_table_of_devices(capsys, without_numpy):
    assert command.main([]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert lines[0].split() == ["backend", "version", "device", "state"]
    assert lines[1].split() == ["numpy", np.__version__, "numpy", "works"]
    assert re.search(r"(?m)^mine +- +mine +not installed$", shown)
    assert "What does not work, and what mends it:" in shown
    assert "  mine: The backend 'mine' needs numpy, which is not installed." in shown
    assert "Default device: numpy" in shown
    assert f"koubai {koubai.__version__}, Python {platform.python_version()}, numpy" in shown


def test_devices_for_machines(capsys, without_numpy, monkeypatch):
    monkeypatch.delenv("KOUBAI_DEVICE", raising=False)
    assert command.main(["--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts.keys() == {
        "koubai", "python", "platform", "libraries", "default_device", "devices"
    }  # fmt: skip
    assert facts["koubai"] == koubai.__version__
    assert facts["libraries"].keys() == {"numpy", "array-api-compat", "array-api-extra"}
    assert facts["default_device"] == "numpy"
    by_device = {entry.pop("device"): entry for entry in facts["devices"]}
    assert by_device["numpy"] == {
        "state": "works", "works": True, "version": np.__version__, "reason": ""
    }  # fmt: skip
    assert by_device["mine"]["state"] == "not installed"
    assert by_device["mine"]["works"] is False
    assert "pip install mine" in by_device["mine"]["reason"]


def test_default_device_that_is_not_there_is_told_and_stops_nothing(capsys, monkeypatch):
    monkeypatch.setenv("KOUBAI_DEVICE", "nunpy")
    assert command.main([]) == 0
    shown = capsys.readouterr().out
    assert "Default device: There is no backend 'nunpy'. Did you mean 'numpy'?" in shown
    assert "KOUBAI_DEVICE='nunpy'" in shown


def test_broken_plug_in_is_shown_and_stops_nothing(capsys, plug_in):
    def version(self):
        raise OSError("no such library")

    plug_in(version=version)
    assert command.main([]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"(?m)^numpy .* works$", shown)
    assert re.search(r"(?m)^mine .* no usable device$", shown)
    assert re.search(r"(?m)^  mine: .*OSError: no such library", shown)
    assert command.main(["check", "--layer", "AddLayer", "--backend", "numpy"]) == 0


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"koubai {koubai.__version__}\n"


# koubai check


def test_check_of_one_layer(capsys):
    assert command.main(["check", *NUMPY, "--layer", "Relu"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["layer", "device", "dtype", "largest", "error", "tolerance", "verdict"],
        ["Relu", "numpy", "float32", *three("PASS")],
        ["Relu", "numpy", "float64", *three("PASS")],
        [],
        ["2", "proved,", "0", "failed"],
    ]


def three(verdict):
    number = Pattern(r"\d\.\de[+-]\d\d")
    return [number, number, verdict]


class Pattern(str):
    """A string that is equal to all that it describes."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other):
        return re.fullmatch(str(self), other) is not None


def test_columns_of_the_table_stand_in_line(capsys):
    command.main(["check", *NUMPY, "--layer", "Relu"])
    head, first, *_ = capsys.readouterr().out.splitlines()
    assert first.index("numpy") == head.index("device")
    assert first.index("float32") == head.index("dtype")
    assert first.index("PASS") == head.index("verdict")


def test_check_of_everything_on_numpy(capsys):
    assert command.main(["check", *NUMPY]) == 0
    shown = capsys.readouterr().out
    assert f"\n{2 * len(CASES)} proved, 0 failed\n" in shown


def test_layers_are_chosen_with_all_their_cases(capsys):
    assert command.main(["check", *NUMPY, "--layer", "Tanh, AddLayer"]) == 0
    shown = capsys.readouterr().out
    names = {line.split()[0] for line in shown.splitlines() if "PASS" in line}
    assert names == {"Tanh", "Tanh-far", "AddLayer", "AddLayer-broadcast"}


@pytest.mark.parametrize("layers", ["affine", "Relu,affine", "Afine"])
def test_unknown_layer_is_refused_with_a_hint(layers, capsys):
    assert command.main(["check", *NUMPY, "--layer", layers]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("koubai: no layer or network is called")
    assert "Did you mean 'Affine'? Known are MulLayer, AddLayer" in shown.err


def test_missing_backend_that_was_asked_for_is_a_failure(capsys, without_numpy):
    assert command.main(["check", "--backend", "mine, numpy", "--layer", "AddLayer"]) == 1
    shown = capsys.readouterr().out
    assert "missing  mine: The backend 'mine' needs numpy, which is not installed." in shown
    assert "4 proved, 0 failed, 1 missing" in shown


def test_missing_backend_that_nobody_asked_for_is_a_skip(capsys, without_numpy, monkeypatch):
    monkeypatch.setattr(registry, "names", lambda: ["numpy", "mine"])
    assert command.main(["check", "--layer", "AddLayer"]) == 0
    shown = capsys.readouterr().out
    assert "skip  mine: The backend 'mine' needs numpy" in shown
    assert "4 proved, 0 failed\n" in shown


def test_nothing_proved_is_a_failure(capsys, without_numpy, monkeypatch):
    monkeypatch.setattr(registry, "names", lambda: ["mine"])
    assert command.main(["check"]) == 1
    assert "0 proved, 0 failed\n" in capsys.readouterr().out


def test_float64_of_jax_is_proved_too(capsys):
    pytest.importorskip("jax", reason="JAX is not installed")
    assert command.main(["check", "--backend", "jax", "--layer", "Relu"]) == 0
    assert re.search(r"(?m)^Relu +jax:cpu +float64 .* PASS$", capsys.readouterr().out)


def test_unknown_backend_is_a_failure_with_a_hint(capsys):
    assert command.main(["check", "--backend", "nunpy"]) == 1
    assert "There is no backend 'nunpy'. Did you mean 'numpy'?" in capsys.readouterr().out


def test_wrong_layer_fails_and_its_report_is_shown(capsys, monkeypatch):
    right = koubai.Affine.backward

    def backward(self, dout):
        dx = right(self, dout)
        self.db = 2 * self.db
        return dx

    monkeypatch.setattr(koubai.Affine, "backward", backward)
    assert command.main(["check", *NUMPY, "--layer", "Affine,Relu"]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"(?m)^Affine +numpy +float64 .* FAIL$", shown)
    assert re.search(r"(?m)^Relu +numpy +float64 .* PASS$", shown)
    assert "numpy-float64: gradient check of Affine(6, 4) on numpy, float64" in shown
    assert re.search(r"(?m)^  b  .*FAIL$", shown)
    assert "2 proved, 6 failed" in shown


def test_layer_that_raises_fails_and_stops_nothing(capsys, monkeypatch):
    class Raises(koubai.Relu):
        def forward(self, x):
            raise ZeroDivisionError("by zero")

    harmed = Case("Raises", lambda a: (Raises(), (a([1.0, 2.0]),)))
    with_cases(monkeypatch, harmed, *CASES[:1])
    assert command.main(["check", *NUMPY]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"(?m)^Raises +numpy +float64 +- +- +FAIL$", shown)
    assert "ZeroDivisionError: by zero" in shown
    assert "2 proved, 2 failed" in shown


def test_case_that_cannot_be_built_fails_and_stops_nothing(capsys, monkeypatch):
    def build(array):
        raise OSError("the device went away")

    with_cases(monkeypatch, replace(CASES[0], name="Broken", build=build), CASES[0])
    assert command.main(["check", *NUMPY]) == 1
    shown = capsys.readouterr().out
    assert "numpy-float64: OSError: the device went away" in shown
    assert "2 proved, 2 failed" in shown


def test_point_at_a_kink_is_told_from_a_wrong_gradient(capsys, monkeypatch):
    with_cases(monkeypatch, Case("Kink", lambda a: (koubai.Relu(), (a([0.0, 2.0]),))))
    assert command.main(["check", *NUMPY]) == 1
    assert re.search(r"(?m)^Kink +numpy +float64 .* KINK$", capsys.readouterr().out)


# The terminal


def test_colours_on_a_terminal(capsys, monkeypatch):
    on_a_terminal(monkeypatch)
    with_cases(monkeypatch, CASES[0], Case("Kink", lambda a: (koubai.Relu(), (a([0.0]),))))
    command.main(["check", *NUMPY])
    shown = capsys.readouterr().out
    assert "\033[32mPASS\033[0m" in shown
    assert "\033[31mKINK\033[0m" in shown
    command.main([])
    assert "\033[32mworks\033[0m" in capsys.readouterr().out


def test_no_colours_where_they_are_not_wanted(capsys, monkeypatch):
    on_a_terminal(monkeypatch, no_color="1")
    command.main(["check", *NUMPY, "--layer", "Relu"])
    assert "\033" not in capsys.readouterr().out


def test_no_colours_in_a_file(capsys, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    command.main(["check", *NUMPY, "--layer", "Relu"])
    assert "\033" not in capsys.readouterr().out


# The command line


@pytest.mark.parametrize("arguments", [["chek"], ["--backend", "numpy"], ["--json", "check"]])
def test_command_line_that_cannot_be_understood(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(arguments)
    assert stop.value.code == 2
    assert "usage: koubai" in capsys.readouterr().err


def test_module_runs_as_a_program():
    program = [sys.executable, "-W", "error", "-m", "koubai"]
    arguments = ["check", *NUMPY, "--layer", "Relu"]
    right = subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)
    assert (right.returncode, right.stderr) == (0, "")
    assert "2 proved, 0 failed" in right.stdout
    arguments = ["check", "--layer", "Relo"]
    wrong = subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "Did you mean 'Relu'?" in wrong.stderr
