"""The pytest plug-in, as a project meets it: every run here is a pytest of its own."""

import os
import re
import subprocess
import sys
from textwrap import dedent

import pytest

import koubai

LAYERS = """
    import numpy as np
    import pytest

    @pytest.mark.parametrize("layer", ["Affine", "Relu"])
    def test_gradients(layer, koubai_device, koubai_dtype):
        x = koubai_device.asarray(np.ones(3), dtype=koubai_dtype)
        assert str(x.dtype) == koubai_dtype

    def test_moves(koubai_device):
        assert koubai_device.asarray([1.0]).shape == (1,)
"""
SIMPLE = "def test_moves(koubai_device): pass"


@pytest.fixture
def run_pytest(tmp_path):
    """Give a function that runs pytest on a module in a folder of its own."""

    def run(source, *arguments, conftest="", path=(), as_installed=False):
        (tmp_path / "test_it.py").write_text(dedent(source))
        (tmp_path / "conftest.py").write_text(dedent(conftest))
        (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        paths = filter(None, [*map(str, path), os.environ.get("PYTHONPATH")])
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "300"}
        if not as_installed:  # without pytest-xdist and Hypothesis, which takes a second to load
            environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
            command += ["-p", "koubai.testing.plugin"]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return run


def outcomes(result):
    """Read the outcome of every test by its name."""
    return dict(re.findall(r"^test_it\.py::(\S+) (\w+)", result.stdout, re.MULTILINE))


def test_test_is_named_by_layer_then_device_then_dtype(run_pytest):
    result = run_pytest(LAYERS, "-v", "--backend", "numpy", as_installed=True)
    assert outcomes(result) == {
        "test_gradients[Affine-numpy-float32]": "PASSED",
        "test_gradients[Affine-numpy-float64]": "PASSED",
        "test_gradients[Relu-numpy-float32]": "PASSED",
        "test_gradients[Relu-numpy-float64]": "PASSED",
        "test_moves[numpy]": "PASSED",
    }
    assert result.returncode == 0


def test_backends_are_those_that_are_named_in_their_order(run_pytest):
    result = run_pytest(SIMPLE, "-v", "--backend", "array_api_strict, numpy")
    assert [*outcomes(result)][::5] == [
        "test_moves[array_api_strict:CPU_DEVICE]",
        "test_moves[numpy]",
    ]


@pytest.fixture
def absent(tmp_path):
    """Announce a backend whose library nobody has."""
    folder = tmp_path / "site"
    information = folder / "absent-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: absent\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[koubai.backends]\nabsent = koubai_absent:Absent\nbroken = koubai_absent:nothing\n"
    )
    (folder / "koubai_absent.py").write_text(
        dedent("""
            from koubai.backend import Backend

            class Absent(Backend):
                name = "absent"
                library = "absent_arrays"
                install = "pip install absent-arrays"

                @property
                def xp(self):
                    import absent_arrays
                    return absent_arrays
        """)
    )
    return folder


def test_missing_backend_is_a_skip_with_its_reason(run_pytest, absent):
    result = run_pytest(LAYERS, "-v", "-rs", "--backend", "absent,numpy", path=[absent])
    found = outcomes(result)
    assert found["test_gradients[Affine-absent-float32]"] == "SKIPPED"
    assert found["test_moves[absent]"] == "SKIPPED"
    assert found["test_moves[numpy]"] == "PASSED"
    assert (
        "SKIPPED [1] test_it.py:10: The backend 'absent' needs absent_arrays, which is not "
        "installed. Install it with: pip install absent-arrays"
    ) in result.stdout
    assert result.returncode == 0


def test_broken_backend_is_a_skip_with_its_reason(run_pytest, absent):
    result = run_pytest(SIMPLE, "-v", "-rs", "--backend", "broken,numpy", path=[absent])
    assert outcomes(result) == {"test_moves[broken]": "SKIPPED", "test_moves[numpy]": "PASSED"}
    assert "The backend plug-in 'broken' is broken: AttributeError" in result.stdout


@pytest.mark.parametrize("name", ["absent", "broken"])
def test_required_backend_that_is_missing_fails_the_run(name, run_pytest, absent):
    result = run_pytest(SIMPLE, "--require-backend", f"numpy,{name}", path=[absent])
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"--require-backend {name}: The backend" in result.stderr
    assert ("pip install absent-arrays" if name == "absent" else "AttributeError") in result.stderr


def test_without_a_choice_every_backend_has_its_tests(run_pytest, absent):
    conftest = """
        def pytest_addoption(parser):
            parser.addoption("--backend", choices=["theirs"])
    """
    chosen = "--backend", "theirs", "--require-backend", "numpy"  # only the second is ours
    result = run_pytest(SIMPLE, "-q", "--co", *chosen, conftest=conftest, path=[absent])
    for backend in ("numpy", "cupy", "torch", "jax", "array_api_strict", "absent"):
        assert re.search(rf"test_moves\[{backend}[\]:]", result.stdout)


def test_required_backend_joins_those_that_are_chosen(run_pytest):
    result = run_pytest(
        SIMPLE, "-q", "--collect-only", "--backend=numpy", "--require-backend=array_api_strict"
    )
    assert len(re.findall(r"test_moves\[numpy\]", result.stdout)) == 1
    assert len(re.findall(r"test_moves\[array_api_strict:", result.stdout)) == 5


@pytest.mark.parametrize("option", ["--backend", "--require-backend"])
def test_unknown_backend_is_explained(option, run_pytest):
    result = run_pytest(SIMPLE, option, "nunpy")
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"{option} nunpy: There is no backend 'nunpy'. Did you mean 'numpy'?" in result.stderr


def test_options_are_told_by_help(run_pytest):
    text = run_pytest(SIMPLE, "--help").stdout
    assert "koubai: array libraries and devices:" in text
    assert "--backend=NAME,..." in text
    assert "--require-backend=NAME,..." in text


def test_own_fixtures_and_options_of_a_project_stay_its_own(run_pytest):
    conftest = """
        import pytest

        def pytest_addoption(parser):
            parser.addoption("--backend", default="theirs")
            parser.addoption("--require-backend", action="store_true")

        @pytest.fixture(params=[1, 2])
        def device(request):
            return request.param

        @pytest.fixture
        def dtype():
            return "theirs"
    """
    source = """
        def test_own(device, dtype, pytestconfig):
            assert device in {1, 2}
            assert dtype == "theirs"
            print("option:", pytestconfig.getoption("--backend"))
            print("required:", pytestconfig.getoption("--require-backend"))
    """
    for arguments, option, required in (
        ([], "theirs", False),
        (["--backend", "something", "--require-backend"], "something", True),
    ):
        result = run_pytest(source, "-vs", *arguments, conftest=conftest, as_installed=not required)
        assert [*outcomes(result)] == ["test_own[1]", "test_own[2]"]
        assert f"option: {option}\nrequired: {required}" in result.stdout
        assert result.returncode == 0


def test_nothing_is_imported_for_a_project_that_asks_for_nothing(run_pytest):
    source = """
        import sys

        def test_imports():
            heavy = {"torch", "jax", "cupy", "array_api_strict"}
            assert not heavy & sys.modules.keys()
            assert "koubai.testing.plugin" in sys.modules
    """
    result = run_pytest(source, "-v", as_installed=True)
    assert outcomes(result) == {"test_imports": "PASSED"}


@pytest.mark.parametrize("xdist", ["with", "without"])
def test_xdist_is_of_use_but_not_needed(xdist, run_pytest):
    if xdist == "with":
        pytest.importorskip("xdist", reason="pytest-xdist is not installed")
        arguments = "-p", "xdist", "-n", "2"
    else:
        arguments = ()
    assert "5 passed" in run_pytest(LAYERS, "--backend", "numpy", *arguments).stdout


def test_dtype_works_for_as_long_as_the_test_runs(koubai_device, koubai_dtype):
    x = koubai_device.asarray([1.0, 2.0], dtype=koubai_dtype)
    assert str((x + x).dtype).endswith(koubai_dtype)


def test_float64_of_jax_is_switched_off_again():
    pytest.importorskip("jax", reason="JAX is not installed")
    assert "float64" not in koubai.device("jax:cpu").backend.dtypes("cpu")
