"""The example of a backend is found, works and passes the kit; a broken one does not."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "backend_plugin"

BROKEN = [
    pytest.param(
        "koubai_boxes.py",
        "return np.array(cast",
        "return 2 * np.array(cast",
        "a matrix product gave [[14.0, 20.0], [30.0, 44.0]]",
        id="wrong-values",
    ),
    pytest.param(
        "boxes.py",
        "device or SHELVES[0])",
        "SHELVES[0])",
        "FAILED ::test_every_device_that_is_named_works[boxes:upper]",
        id="all-on-one-shelf",
    ),
    pytest.param(
        "boxes.py",
        "return Array(function(*opened, **options), *shelves)",
        "return Array(np.float64(function(*opened, **options)), *shelves)",
        "FAILED ::test_gradients[Affine-boxes:lower-float32]",
        id="wrong-dtype",
    ),
    pytest.param(
        "boxes.py",
        "    return lambda x, y: function(y, x)",
        "    return function",
        "FAILED ::test_standard_function[python-number-boxes:upper-float64]",
        id="operands-not-turned-round",
    ),
]


@pytest.fixture
def installed(tmp_path):
    """Install a copy of the example, as pip would but without it; give how to run a program."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    site = tmp_path / "site"
    shutil.copytree(EXAMPLE / "src", site, ignore=shutil.ignore_patterns("__pycache__"))
    information = site / f"koubai_boxes-{project['version']}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = project["entry-points"]["koubai.backends"].items()
    lines = [f"{name} = {value}\n" for name, value in points]
    (information / "entry_points.txt").write_text("".join(["[koubai.backends]\n", *lines]))

    def run(*arguments):
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    run.site = site
    return run


KIT = [
    *("pytest", "-p", "koubai.testing.plugin", "-p", "no:cacheprovider", "-W", "error", "-rsfE"),
    *("--pyargs", "koubai.testing.conformance", "--backend", "boxes"),
]


def test_example_passes_the_kit(installed):
    result = installed(*KIT, "--require-backend", "boxes", "-v")
    assert result.returncode == 0, result.stdout
    assert "skipped" not in result.stdout
    assert "test_gradients[Network-deep-boxes:lower-float64] PASSED" in result.stdout


def test_example_is_shown_and_checked_by_the_command(installed):
    result = installed("koubai", "check", "--backend", "boxes", "--layer", "TwoLayerNet")
    assert result.returncode == 0, result.stdout
    assert "4 proved, 0 failed" in result.stdout


@pytest.mark.parametrize(("module", "right", "wrong", "shown"), BROKEN)
def test_broken_example_is_caught(module, right, wrong, shown, installed):
    path = installed.site / module
    text = path.read_text()
    assert text.count(right) == 1
    path.write_text(text.replace(right, wrong))
    result = installed(*KIT, "--require-backend", "boxes")
    assert result.returncode != 0
    assert shown in result.stdout + result.stderr
