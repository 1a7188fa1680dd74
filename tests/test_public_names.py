"""Everything public is importable from koubai and from its own module."""

import importlib

import pytest

import koubai

MODULES = ["datasets", "errors", "functions", "gradcheck", "layers", "networks", "testing"]


@pytest.mark.parametrize("module", MODULES)
def test_names_of_a_module_are_names_of_koubai(module):
    names = importlib.import_module(f"koubai.{module}").__all__
    assert names
    for name in names:
        assert getattr(koubai, name) is getattr(getattr(koubai, module), name)
        assert name in koubai.__all__


def test_names_of_backends_are_names_of_koubai():
    inner = {"DeviceStatus", "PureFunction", "device_of", "registry"}
    assert set(koubai.backend.__all__) - inner <= set(koubai.__all__)


def test_names_of_compile_are_names_of_koubai():
    outer = {*koubai.compile.__all__, "compile"} - {"compile_function"}
    assert outer <= set(koubai.__all__)
    assert callable(koubai.compile)


def test_all_names_are_there():
    for name in koubai.__all__:
        assert hasattr(koubai, name)
