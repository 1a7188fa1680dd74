"""Cells: the devices and dtypes of the matrix, and the reasons why some are not there."""

import numpy as np
import pytest

from koubai.backend import Backend, registry
from koubai.backend.plugins import Registry
from koubai.testing import Cell, cells


@pytest.fixture
def plug_in(monkeypatch):
    """Register a backend for one test."""

    def plug_in(**members):
        body = {"name": "mine", "library": "numpy", "install": "pip install mine", "xp": np}
        registry.register(type("Mine", (Backend,), body | members))

    yield plug_in
    for part in (registry._registered, registry._loaded, registry._failed):
        part.pop("mine", None)


def test_cells_of_a_device_are_its_dtypes():
    assert cells(["numpy"]) == [Cell("numpy", "float32"), Cell("numpy", "float64")]
    assert [str(cell) for cell in cells(["numpy"])] == ["numpy-float32", "numpy-float64"]


def test_device_without_float64_has_one_cell():
    pytest.importorskip("array_api_strict")
    found = [str(cell) for cell in cells(["array_api_strict"])]
    assert found == [
        "array_api_strict:CPU_DEVICE-float32",
        "array_api_strict:CPU_DEVICE-float64",
        "array_api_strict:device1-float32",
        "array_api_strict:device1-float64",
        "array_api_strict:device2-float32",
        "array_api_strict:device2-float64",
        "array_api_strict:no_float64-float32",
        "array_api_strict:no_x64-float32",
    ]


def test_float64_of_jax_is_a_cell_although_it_is_switched_off():
    pytest.importorskip("jax")
    assert Cell("jax:cpu", "float64") in cells(["jax"])


def test_backend_that_is_not_there_has_cells_with_the_reason(plug_in):
    def xp(self):
        raise ModuleNotFoundError(name="numpy")

    plug_in(xp=property(xp))
    found = cells(["mine"])
    assert [(cell.device, cell.dtype) for cell in found] == [
        ("mine", "float32"),
        ("mine", "float64"),
    ]
    assert {cell.reason for cell in found} == {
        "The backend 'mine' needs numpy, which is not installed. Install it with: pip install mine"
    }


def test_device_that_does_not_work_has_cells_with_the_reason(plug_in):
    def from_numpy(self, host, device):
        raise OSError("the driver is gone")

    plug_in(from_numpy=from_numpy)
    (reason,) = {cell.reason for cell in cells(["mine"])}
    assert "OSError: the driver is gone" in reason


def test_unknown_backend_has_cells_with_the_reason():
    assert {cell.reason.partition(". ")[0] for cell in cells(["nunpy"])} == {
        "There is no backend 'nunpy'"
    }


def test_all_backends_by_default():
    names = list(dict.fromkeys(cell.device.partition(":")[0] for cell in cells()))
    assert names == Registry().names()
