"""One namespace for all arrays of a formula, or an error that says what to write."""

import os
import re
import subprocess
import sys
from textwrap import dedent

import array_api_compat
import numpy as np
import pytest

import koubai.backend
from koubai.arrays import array_namespace, describe, dtype_name, native_device, shared_namespace
from koubai.backend import device, device_of
from koubai.errors import MixedArraysError, NotAnArrayError

DEVICES = [
    "numpy",
    "torch:cpu",
    "jax:cpu",
    "array_api_strict:CPU_DEVICE",
    "array_api_strict:device1",
]


def select(spec):
    """Select a device; skip the test where its library is not installed."""
    pytest.importorskip(spec.partition(":")[0])
    return device(spec)


@pytest.mark.parametrize("spec", DEVICES)
def test_arrays_of_one_device_share_its_namespace(spec):
    place = select(spec)
    x, y = place.asarray([1.0, 2.0]), place.asarray([3, 4])
    assert array_namespace(x=x) is place.xp
    assert array_namespace(x=x, y=y) is place.xp


@pytest.mark.parametrize("spec", DEVICES)
@pytest.mark.parametrize("number", [2, 2.5, True, 1j])
def test_python_numbers_are_passed_over(spec, number):
    place = select(spec)
    x = place.asarray([1.0])
    assert array_namespace(a=number, x=x) is place.xp
    assert array_namespace(x=x, a=number) is place.xp


def test_for_numpy_arrays_nothing_else_is_asked(monkeypatch):
    def slow(*_):
        raise AssertionError

    monkeypatch.setattr(array_api_compat, "array_namespace", slow)
    monkeypatch.setattr(array_api_compat, "device", slow)
    x = np.ones(2)
    assert array_namespace(x=x, y=x).sum(x) == 2


@pytest.mark.parametrize("scalar", [np.float64(1), np.float32(1), np.int64(1), np.bool_(True)])
def test_numpy_scalars_are_arrays_of_numpy(scalar):
    numpy = device("numpy").xp
    assert array_namespace(a=scalar) is numpy
    assert array_namespace(a=scalar, x=np.ones(2)) is numpy
    with pytest.raises(MixedArraysError, match=r"a: numpy\."):
        array_namespace(a=scalar, x=select("torch:cpu").asarray([1.0]))


def test_subclasses_of_numpys_arrays_are_numpys(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(2,))
    assert array_namespace(x=x) is device("numpy").xp


def test_arrays_that_jax_traces_have_a_namespace():
    jax = pytest.importorskip("jax")
    w = jax.numpy.ones(2)

    def work(x):
        assert native_device(x) is None
        return array_namespace(x=x, w=w).exp(x)

    assert jax.jit(work)(w).shape == (2,)


def test_a_traced_array_has_no_device_but_does_not_mix_with_another_library():
    jax = pytest.importorskip("jax")
    with pytest.raises(MixedArraysError, match="x and W must be arrays of one library"):
        jax.jit(lambda x: array_namespace(x=x, W=np.ones(2)))(jax.numpy.ones(2))


PAIRS = [
    ("numpy", "torch:cpu"),
    ("torch:cpu", "numpy"),
    ("numpy", "jax:cpu"),
    ("jax:cpu", "torch:cpu"),
    ("numpy", "array_api_strict:CPU_DEVICE"),
    ("array_api_strict:CPU_DEVICE", "array_api_strict:device1"),
    ("array_api_strict:device1", "array_api_strict:device2"),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_mixed_arrays_are_answered_with_both_types_both_devices_and_a_line_that_mends_it(
    one, other
):
    first, last = select(one), select(other)
    x, W = first.asarray([[1.0, 2.0, 3.0]]), last.asarray([1, 2], dtype="int32")
    with pytest.raises(MixedArraysError) as caught:
        shared_namespace("Affine", {"x": x, "n": 3, "W": W})
    message = str(caught.value)
    assert message.startswith("Affine: x and W must be arrays of one library on one device")
    lines = message.splitlines()
    assert lines[1].startswith(f"  x: {type(x).__module__.partition('.')[0]}.")
    assert f"{type(x).__name__} of float32 (1, 3) on {native_device(x)}" in lines[1]
    assert f"{type(W).__name__} of int32 (2,) on {native_device(W)}" in lines[2]
    assert "network.to(device)" in lines[3]
    (line,) = re.findall(r"x = koubai\.asarray\(.*?\)", lines[3])
    names = {"koubai": koubai.backend, "x": x}
    exec(line, names)
    assert device_of(names["x"]) == last
    assert array_namespace(x=names["x"], W=W) is last.xp


def test_one_array_of_three_on_another_device_is_enough():
    numpy, torch = device("numpy"), select("torch:cpu")
    x, b = numpy.asarray([1.0]), torch.asarray([1.0])
    with pytest.raises(MixedArraysError, match="x, W and b must be"):
        array_namespace(x=x, W=x, b=b)
    with pytest.raises(MixedArraysError, match="b, x and W must be"):
        array_namespace(b=b, x=x, W=x)


def test_mixed_devices_of_jax():
    pytest.importorskip("jax")
    code = """
        from koubai.arrays import array_namespace
        from koubai.backend import device
        from koubai.errors import MixedArraysError
        x, y = device("jax:cpu").asarray([1.0]), device("jax:cpu:1").asarray([1.0])
        assert array_namespace(x=y, y=y) is device("jax").xp
        try:
            array_namespace(x=x, y=y)
        except MixedArraysError as error:
            print(error)
    """
    environment = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-W", "error", "-c", dedent(code)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | environment
    )
    first, x, y, last = done.stdout.splitlines()
    assert "one device" in first
    assert re.fullmatch(r"  x: jaxlib\.ArrayImpl of float32 \(1,\) on .*0", x)
    assert re.fullmatch(r"  y: jaxlib\.ArrayImpl of float32 \(1,\) on .*1", y)
    assert 'x = koubai.asarray(x, device="jax:cpu:1")' in last


class Slot:
    """A device that can be compared but not hashed, as CuPy's are."""

    __hash__ = None

    def __init__(self, number):
        self.number = number

    def __eq__(self, other):
        return self.number == other.number


class Card:
    """An array in a slot."""

    def __init__(self, number):
        self.device = Slot(number)

    def __array_namespace__(self, *, api_version=None):
        return sys.modules[__name__]


def test_devices_are_compared_without_being_hashed():
    assert array_namespace(x=Card(0), y=Card(0)) is sys.modules[__name__]
    with pytest.raises(MixedArraysError, match=r"x = koubai\.asarray\(x, device=\.\.\.\)"):
        array_namespace(x=Card(0), y=Card(1))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([1.0], "list"),
        ((1.0,), "tuple"),
        (None, "NoneType"),
        ("x", "str"),
        (np.float32, "type"),
        (range(2), "range"),
    ],
)
def test_what_is_no_array_is_named_and_answered_with_asarray(value, found):
    arrays = {"W": np.ones(2), "x": value}
    with pytest.raises(NotAnArrayError) as caught:
        shared_namespace("Relu", arrays)
    assert str(caught.value) == (
        f"Relu: x is {found}, but an array is wanted. koubai.asarray(x) makes one."
    )
    assert isinstance(caught.value.__cause__, TypeError)


def test_numbers_alone_have_no_namespace():
    with pytest.raises(NotAnArrayError, match="array_namespace: x is int, but an array is wanted"):
        array_namespace(x=1, y=2.5)


class Odd:
    """Something that looks like an array from afar."""

    dtype = "float32"
    shape = 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.ones((2, 3), np.float32), "numpy.ndarray of float32 (2, 3) on cpu"),
        (np.float32(1), "numpy.float32 of float32 () on cpu"),
        (1.5, "float"),
        ([1.5], "list"),
        (None, "NoneType"),
        (np.float32, "type"),
        (Odd(), ".Odd"),
    ],
)
def test_describe_tells_of_anything(value, text):
    assert describe(value).endswith(text)


@pytest.mark.parametrize("spec", DEVICES)
def test_a_dtype_is_named_without_its_library(spec):
    assert dtype_name(select(spec).asarray([1.0])) == "float32"
