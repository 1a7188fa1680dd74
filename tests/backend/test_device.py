"""Bringing arrays to a device and back: values, dtypes, copies, and what is refused."""

import contextlib
import copy
import datetime as dt
import os
import pickle
import subprocess
import sys
from decimal import Decimal
from textwrap import dedent

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from koubai.arrays import dtype_name
from koubai.backend import Backend, Device, asarray, device, device_of, get_backend, to_numpy
from koubai.backend.proof import prove
from koubai.errors import (
    BackendNotInstalledError,
    DeviceNotAvailableError,
    DTypeError,
    NotAnArrayError,
)

GPUS = ["cupy:0", "torch:cuda:0", "jax:gpu:0"]
DEVICES = [
    "numpy",
    "torch:cpu",
    "jax:cpu",
    "array_api_strict:CPU_DEVICE",
    "array_api_strict:device1",
    "array_api_strict:no_x64",
    *GPUS,
]
MUTABLE = [name for name in DEVICES if not name.startswith("jax")]
EVERYWHERE = ["float32", "int8", "int16", "int32", "uint8", "uint16", "uint32", "bool", "complex64"]

on_each_device = pytest.mark.parametrize("spec", DEVICES)


@pytest.fixture(autouse=True)
def no_default(monkeypatch):
    """Let NumPy be the default, whatever the environment says."""
    monkeypatch.delenv("KOUBAI_DEVICE", raising=False)


def select(spec):
    """Select a device; skip the test where its library or its GPU is not there."""
    try:
        return device(spec)
    except BackendNotInstalledError as error:
        pytest.skip(str(error))
    except DeviceNotAvailableError as error:
        if spec not in GPUS:
            raise
        pytest.skip(str(error))


def same(found, wanted, dtype=None):
    """See that an array of any library has the values, shape and dtype of a NumPy array."""
    host = to_numpy(found)
    assert type(host) is np.ndarray
    assert host.dtype == np.dtype(dtype or wanted.dtype.name)
    np.testing.assert_array_equal(host, wanted, strict=dtype is None)
    return True


def in_python(code, **environment):
    """Run code in a Python of its own; give what it prints."""
    command = [sys.executable, "-W", "error", "-c", dedent(code)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# Values and dtypes


@pytest.mark.parametrize("source", DEVICES)
@on_each_device
def test_every_way_from_device_to_device_keeps_values_and_dtype(source, spec):
    start, end = select(source), select(spec)
    for dtype in EVERYWHERE:
        host = np.asarray([[0, 1, 0], [1, 1, 0]], dtype)
        x = start.asarray(host)
        y = asarray(x, device=spec)
        assert device_of(y) == end
        assert dtype_name(y) == dtype
        assert same(x, host)
        assert same(y, host)


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint64", "float16", "complex128"])
@on_each_device
def test_a_dtype_that_not_every_device_has_is_kept_or_refused(spec, dtype):
    place = select(spec)
    host = np.asarray([0, 1, 2], dtype)
    known = {*place.backend.dtypes(place.name), *place.backend.integers(place.name)}
    if "float64" in known:
        known.add("complex128")
    if dtype in known:
        assert same(place.asarray(host), host)
        assert same(place.asarray([0, 1, 2], dtype=dtype), host)
    else:
        with pytest.raises(DTypeError, match=f"^{spec} has no {dtype} here; it has .*float32"):
            place.asarray([0, 1, 2], dtype=dtype)


@on_each_device
@pytest.mark.parametrize(
    ("numbers", "dtype", "shape"),
    [
        (1.5, "float32", ()),
        ([1.5, 2], "float32", (2,)),
        (((1.5,), (2.5,)), "float32", (2, 1)),
        ([], "float32", (0,)),
        ([1e-3, float("inf"), 0.1], "float32", (3,)),
        (True, "bool", ()),
        ([[True], [False]], "bool", (2, 1)),
        ([1 + 2j], "complex64", (1,)),
        ([np.float64(0.1), np.float64(0.2)], "float32", (2,)),
    ],
)
def test_python_numbers_become_an_array(spec, numbers, dtype, shape):
    x = asarray(numbers, device=select(spec))
    assert tuple(x.shape) == shape
    assert same(x, np.asarray(numbers, dtype))


@on_each_device
@pytest.mark.parametrize("numbers", [3, [3, -4], range(3), [[1], [2]], [True, 2]])
def test_python_integers_become_integers_as_wide_as_the_device_has(spec, numbers):
    place = select(spec)
    integers = place.backend.integers(place.name)
    x = place.asarray(numbers)
    assert same(x, np.asarray(numbers), "int64" if "int64" in integers else "int32")


@on_each_device
def test_float64_asked_for_does_not_pass_through_float32(spec):
    place = select(spec)
    with place.backend.float64():
        if "float64" not in place.backend.dtypes(place.name):
            pytest.skip(f"{spec} has no float64")
        assert same(place.asarray([0.1], dtype="float64"), np.asarray([0.1]))
        assert same(place.asarray(np.asarray([0.1])), np.asarray([0.1]))


LAYOUTS = {
    "read-only": lambda x: [x.setflags(write=False), x][1],
    "every other": lambda x: x[::2, 1::2],
    "reversed": lambda x: x[::-1, ::-1],
    "transposed": lambda x: x.T,
    "column order": np.asfortranarray,
    "one element": lambda x: x[1, 1],
    "zero dimensions": lambda x: x[1, 1, ...],
    "empty": lambda x: x[:0],
    "broadcast": lambda x: np.broadcast_to(x[0], (3, 6)),
    "big-endian": lambda x: x.astype(">f4"),
    "misaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), np.float32, offset=1),
}


@on_each_device
@pytest.mark.parametrize("layout", LAYOUTS)
def test_numpy_arrays_of_any_layout_come_through(spec, layout):
    host = LAYOUTS[layout](np.arange(24, dtype=np.float32).reshape(4, 6))
    x = asarray(host, device=select(spec))
    assert tuple(x.shape) == host.shape
    assert same(x, np.asarray(host), "float32")


def test_a_transposed_array_becomes_a_contiguous_tensor():
    assert select("torch:cpu").asarray(np.ones((2, 3), np.float32).T).is_contiguous()


@pytest.mark.parametrize(
    ("spec", "there"),
    [("numpy", True), ("torch:cpu", True), ("jax:cpu", True), (DEVICES[3], False)],
)
def test_where_float16_is(spec, there):
    place = select(spec)
    assert ("float16" in place.backend.dtypes(place.name)) is there


@on_each_device
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_array_comes_back_as_it_went(spec, data):
    place = select(spec)
    dtype = data.draw(st.sampled_from(EVERYWHERE))
    host = data.draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=4)))
    assert same(place.asarray(host), host)


@on_each_device
@pytest.mark.parametrize("scalar", [np.float32(2.5), np.int32(7), np.bool_(True), np.uint8(3)])
def test_numpy_scalars_become_arrays_of_their_dtype(spec, scalar):
    x = asarray(scalar, device=select(spec))
    assert tuple(x.shape) == ()
    assert same(x, np.asarray(scalar))
    assert same(asarray(scalar, device=spec, dtype="float32"), np.asarray(scalar, np.float32))


def test_a_numpy_float64_scalar_keeps_its_dtype_and_a_python_float_does_not():
    assert asarray(np.float64(0.1)).dtype == np.float64
    assert asarray(0.1).dtype == np.float32


# Where arrays go when no device is named


@on_each_device
def test_numbers_and_numpy_arrays_go_to_the_default_and_others_stay(spec):
    place = select(spec)
    x = place.asarray([1.0])
    assert asarray(x) is x
    with place:
        assert device_of(asarray([1.0])) == place
        assert device_of(asarray(np.ones(2, np.float32))) == place
        other = select("array_api_strict:device2")
        y = other.asarray([1.0])
        assert asarray(y) is y


# Copies


@on_each_device
def test_an_array_that_is_there_already_is_not_copied(spec):
    x = select(spec).asarray([1.0, 2.0])
    assert asarray(x, device=spec) is x
    assert asarray(x, device=spec, dtype="float32") is x


@pytest.mark.parametrize("spec", MUTABLE)
def test_a_copy_is_made_where_one_is_asked_for(spec):
    x = select(spec).asarray([1.0, 2.0])
    y = asarray(x, device=spec, copy=True)
    assert device_of(y) == device(spec)
    y[0] = 9.0
    assert to_numpy(x).tolist() == [1, 2]


@on_each_device
def test_another_dtype_is_another_array(spec):
    x = select(spec).asarray([1.0, 2.0])
    y = asarray(x, device=spec, dtype="int32")
    assert device_of(y) == device(spec)
    assert same(y, np.asarray([1, 2], np.int32))
    assert same(x, np.asarray([1, 2], np.float32))


def aligned(values):
    """Make an array that begins where JAX would take its memory as it is."""
    memory = np.zeros(64 + 4 * len(values), np.uint8)
    start = -memory.ctypes.data % 64
    array = memory[start : start + 4 * len(values)].view(np.float32)
    array[:] = values
    return array


@pytest.mark.parametrize("source", MUTABLE)
@on_each_device
def test_between_libraries_writing_to_one_does_not_show_in_the_other(source, spec):
    start, end = select(source), select(spec)
    if start == end:
        pytest.skip("one and the same device")
    x = start.asarray(aligned([1.0, 2.0]))
    y = end.asarray(x)
    x[0] = 9.0
    assert to_numpy(y).tolist() == [1, 2]
    if spec in MUTABLE:
        y[1] = 9.0
        assert to_numpy(x).tolist() == [9, 2]


@on_each_device
def test_what_to_numpy_gives_can_be_written_to_and_is_a_copy(spec):
    x = select(spec).asarray([1.0, 2.0])
    host = to_numpy(x)
    host[0] = 9.0
    assert (to_numpy(x).tolist() == [1, 2]) is (spec != "numpy")


def test_numpy_to_numpy_is_the_same_array_both_ways():
    x = np.ones(3, np.float32)
    assert asarray(x) is x
    assert to_numpy(x) is x


def test_a_copy_of_a_read_only_array_can_be_written_to():
    x = np.ones(3)
    x.setflags(write=False)
    asarray(x, copy=True)[0] = 2
    assert x[0] == 1


def test_a_python_buffer_is_not_shared():
    buffer = bytearray(3)
    memory = memoryview(buffer)
    x = asarray(memory)
    buffer[0] = 9
    assert to_numpy(x).tolist() == [0, 0, 0]


# What is refused

NO_ARRAYS = {
    "a string": "1.5",
    "bytes": b"1.5",
    "a list of strings": ["1.5"],
    "None": None,
    "a list of None": [None],
    "a list with None": [1.0, None],
    "ragged rows": [[1.0, 2.0], [3.0]],
    "a number beside a row": [1.0, [2.0]],
    "an object": object(),
    "a list of objects": [object()],
    "a class": np.float32,
    "a dict": {"x": 1.0},
    "a set": {1.0},
    "a generator": (x for x in [1.0]),
    "a decimal": Decimal(1),
    "a list of decimals": [Decimal(1)],
    "a date": dt.date(2024, 1, 1),
    "an integer of 65 bits": 2**64,
    "a NumPy array of strings": np.asarray(["1.5"]),
    "a NumPy array of objects": np.asarray([1.0, None]),
    "a NumPy array of dates": np.asarray(["2024-01-01"], "datetime64[D]"),
    "a NumPy record": np.zeros(2, [("x", "f4")]),
    "a NumPy string": np.str_("1.5"),
}


@pytest.mark.parametrize("spec", ["numpy", "torch:cpu", "jax:cpu", "array_api_strict:device1"])
@pytest.mark.parametrize("case", NO_ARRAYS)
@pytest.mark.parametrize("dtype", [None, "float32"])
def test_what_is_no_array_of_numbers_is_refused(spec, case, dtype):
    place = select(spec)
    with pytest.raises(NotAnArrayError, match=r"^asarray: ") as caught:
        place.asarray(NO_ARRAYS[case], dtype=dtype)
    assert type(NO_ARRAYS[case]).__name__ in str(caught.value)


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        ([[1.0], [2.0, 3.0]], ["this list", "rows of one length"]),
        (["a"], ["this list", "NumPy reads it as <U1"]),
        ([2**64], ["integers beyond 64 bits"]),
        (None, ["NoneType is neither numbers nor an array", "numpy.asarray", "python -m koubai"]),
        (np.asarray([1.0, None]), ["numpy.ndarray of object (2,)", 'dtype="float32"']),
    ],
)
def test_the_refusal_says_what_was_found_and_what_to_do(obj, words):
    with pytest.raises(NotAnArrayError) as caught:
        asarray(obj)
    for word in words:
        assert word in str(caught.value)


def test_a_list_of_arrays_that_numpy_cannot_read_is_answered_with_stack():
    x = select("array_api_strict:device1").asarray([1.0])
    with pytest.raises(NotAnArrayError, match=r"joined first, with xp\.stack") as caught:
        asarray([x, x])
    assert caught.value.__cause__ is not None


class Foreign:
    """An array of a library that no backend knows."""

    shape = (2,)
    dtype = "float32"

    def __array_namespace__(self, *, api_version=None):
        return sys.modules[__name__]


class Series:
    """Something with a dtype and a shape that is no array at all."""

    shape = (2,)
    dtype = np.dtype("float32")


@pytest.mark.parametrize("kind", [Foreign, Series])
def test_an_array_of_an_unknown_library_belongs_nowhere(kind):
    assert device_of(kind()) is None
    with pytest.raises(NotAnArrayError, match=f"{kind.__name__} is neither numbers nor an array"):
        asarray(kind())
    with pytest.raises(NotAnArrayError, match=f"{kind.__name__} is no array of a known backend"):
        to_numpy(kind())


@pytest.mark.parametrize("obj", [1.0, [1.0], None, "x"])
def test_to_numpy_refuses_what_is_no_array_and_names_asarray(obj):
    with pytest.raises(NotAnArrayError, match=r"^to_numpy: .*koubai\.asarray"):
        to_numpy(obj)


@on_each_device
@pytest.mark.parametrize(
    "dtype",
    ["float", "float3", "", "object", "double", np.float32, np.dtype("float32"), float, 32],
)
def test_what_is_no_name_of_a_dtype_is_refused(spec, dtype):
    place = select(spec)
    for obj in ([1.0], place.asarray([1.0]), np.ones(2)):
        with pytest.raises(DTypeError) as caught:
            place.asarray(obj, dtype=dtype)
        assert f"{dtype!r} is no dtype" in str(caught.value)
        assert 'dtype="float32"' in str(caught.value)


@pytest.mark.parametrize("spec", ["array_api_strict:no_float64", "array_api_strict:no_x64"])
@pytest.mark.parametrize("dtype", ["float64", None])
def test_a_device_without_float64_says_what_it_has_and_how_to_ask_for_it(spec, dtype):
    place = select(spec)
    with pytest.raises(DTypeError, match=f"^{spec} has no float64 here; it has float32") as caught:
        place.asarray(np.ones(2), dtype=dtype)
    assert f'koubai.asarray(x, device="{spec}", dtype="float32")' in str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "instead"),
    [("float64", "float32"), ("int64", "int32"), ("uint64", "uint32"), ("complex128", "complex64")],
)
def test_jax_without_64_bits_says_how_they_are_switched_on(dtype, instead):
    place = select("jax:cpu")
    jax = sys.modules["jax"]
    host = np.ones(2, dtype)
    with jax.enable_x64(False):
        for refused in (
            lambda: place.asarray([1], dtype=dtype),
            lambda: place.asarray(host + 2**40),
        ):
            with pytest.raises(DTypeError, match=f"^jax:cpu has no {dtype} here") as caught:
                refused()
            assert f'dtype="{instead}"' in str(caught.value)
            assert 'jax.config.update("jax_enable_x64", True)' in str(caught.value)
            assert "JAX_ENABLE_X64=1" in str(caught.value)
    with jax.enable_x64(True):
        assert same(place.asarray([1, 1], dtype=dtype), host)
    with place.backend.float64():
        assert same(place.asarray(host), host)


@pytest.mark.parametrize(("dtype", "narrow"), [("int64", "int32"), ("uint64", "uint32")])
def test_integers_become_narrower_only_where_they_must_and_fit(dtype, narrow):
    place = select("jax:cpu")
    limits = np.iinfo(narrow)
    with sys.modules["jax"].enable_x64(False):
        host = np.asarray([limits.min, limits.max], dtype)
        assert same(place.asarray(host), host.astype(narrow))
        assert same(place.asarray(host[:0]), host[:0].astype(narrow))
        with pytest.raises(DTypeError, match=f"has no {dtype}"):
            place.asarray(host + np.asarray(1, dtype))
    assert same(select("numpy").asarray(host), host)


@pytest.mark.parametrize("spec", ["torch:cpu", "jax:cpu"])
def test_bfloat16_does_not_cross_over_but_can_change_its_dtype_at_home(spec):
    place = select(spec)
    x = place.xp.ones((2,), dtype=place.xp.bfloat16)
    with pytest.raises(DTypeError, match=r'bfloat16.*dtype="float32"'):
        asarray(x, device="numpy")
    assert same(asarray(x, dtype="float32"), np.ones(2, np.float32))


# A plug-in that says no more than it must


class Small(Backend):
    """A backend by the defaults of the contract."""

    name = "small"
    library = "array_api_strict"
    install = "pip install small"

    @property
    def xp(self):
        return sys.modules[self.library]


class SmallWithDevices(Small):
    """The same, with devices that are called as the library calls them."""

    def devices(self):
        return tuple(str(native) for native in self._info().devices())


def test_the_defaults_serve_a_library_with_one_device():
    pytest.importorskip("array_api_strict")
    backend = Small()
    place = Device(backend, "")
    x = place.asarray([[1.0, 2.0]])
    assert str(place) == "small"
    assert backend.owns(x)
    assert not backend.owns(np.ones(2))
    assert (backend.device_of(x), backend.resolve("")) == ("", "")
    host = backend.to_numpy(x)
    host[0, 0] = 9
    assert backend.to_numpy(x).tolist() == [[1, 2]]
    assert backend.explain("7") == "There is no device 'small:7' here. Write small."


def test_the_defaults_serve_a_library_with_several():
    pytest.importorskip("array_api_strict")
    backend = SmallWithDevices()
    for name in backend.devices()[:3]:
        x = Device(backend, name).asarray([1.0])
        assert backend.device_of(x) == name
    assert backend.resolve("") == backend.devices()[0]


class Current(SmallWithDevices):
    """A library that computes on a current device, as CuPy does."""

    def devices(self):
        return ("CPU_DEVICE", "device1", "device2")

    def native_device(self, device):
        return self.xp.Device(device)

    def device_of(self, array):
        return next(name for name in self.devices() if array.device == self.xp.Device(name))

    def to_numpy(self, array):
        return np.array(array.to_device(self.xp.Device("CPU_DEVICE")))

    def __init__(self):
        self.current = ["device1"]

    @contextlib.contextmanager
    def scope(self, device):
        self.current.append(device)
        try:
            yield
        finally:
            self.current.pop()

    def from_numpy(self, host, device):
        return super().from_numpy(host, self.current[-1])


def test_with_makes_a_device_the_current_one_of_its_library():
    pytest.importorskip("array_api_strict")
    backend = Current()
    with Device(backend, "device2"):
        assert backend.current[-1] == "device2"
        with Device(backend, "CPU_DEVICE"):
            assert backend.current[-1] == "CPU_DEVICE"
        assert backend.current[-1] == "device2"
    assert backend.current == ["device1"]


def test_device_that_is_not_the_current_one_is_proved_within_its_scope():
    pytest.importorskip("array_api_strict")
    backend = Current()
    assert prove(backend, "device2").name == "device2"
    assert backend.current == ["device1"]


# Libraries with ways of their own


def test_a_tensor_that_requires_a_gradient_comes_to_the_host():
    torch = pytest.importorskip("torch")
    assert same(torch.ones(2, requires_grad=True), np.ones(2, np.float32))


def test_jax_arrays_are_known_while_concrete_and_refused_while_traced():
    jax = pytest.importorskip("jax")
    with pytest.raises(NotAnArrayError, match="neither numbers nor an array"):
        jax.jit(asarray)(jax.numpy.ones(2))


def test_jax_with_two_devices():
    pytest.importorskip("jax")
    code = """
        import jax
        from koubai.backend import asarray, device, device_of, to_numpy
        from koubai.backend.selection import backend_status
        from koubai.errors import MixedArraysError
        second = device("jax:cpu:1")
        x = second.asarray([1.0, 2.0])
        print(second, device_of(x), device_of(asarray(x, copy=True)))
        print(device_of(asarray(x, dtype="int32")), device_of(asarray(x, device="jax:cpu")))
        print(device_of(second.asarray(device("jax").asarray([1.0]))), to_numpy(x)[1] == 2)
        print(*[row.device for row in backend_status("jax") if row.works])
        mesh = jax.sharding.Mesh(jax.devices(), "i")
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("i"))
        both = jax.device_put(x, sharding)
        try:
            asarray(both)
        except MixedArraysError as error:
            print("2 devices" in str(error) and "jax.device_put" in str(error))
    """
    flags = "--xla_force_host_platform_device_count=2"
    assert in_python(code, XLA_FLAGS=flags, JAX_PLATFORMS="cpu") == [
        *["jax:cpu:1", "jax:cpu:1", "jax:cpu:1"],
        *["jax:cpu:1", "jax:cpu"],
        *["jax:cpu:1", "True"],
        *["jax:cpu", "jax:cpu:1"],
        "True",
    ]


@on_each_device
def test_waiting_for_a_device_and_naming_its_namespace(spec):
    place = select(spec)
    place.synchronize()
    assert place.xp is place.backend.xp is get_backend(place.backend.name).xp
    assert place.backend.version()[0].isdecimal()
    assert place.name in place.backend.devices()


@on_each_device
def test_own_copy_has_the_values_in_a_memory_of_its_own(spec):
    place = select(spec)
    for shape in ((2, 3), (3,), (), (0, 3)):
        x = place.asarray(np.ones(shape, np.float32))
        copy = place.backend.own_copy(x, place.name)
        assert copy is not x
        assert place.backend.device_of(copy) == place.name
        assert same(copy, np.ones(shape, np.float32))


def test_numpys_own_copy_begins_on_a_cache_line():
    x = np.arange(12.0).reshape(3, 4).T
    copies = [get_backend("numpy").own_copy(x, "cpu") for _ in range(8)]
    assert {each.ctypes.data % 64 for each in copies} == {0}
    assert all(each.flags.c_contiguous and each.flags.writeable for each in copies)
    copies[0][...] = 0
    assert x.any()
    assert copies[1].tolist() == x.tolist()


@on_each_device
def test_read_only_gives_the_same_values(spec):
    place = select(spec)
    x = place.asarray([1.0, 2.0])
    assert same(place.backend.read_only(x), np.asarray([1, 2], np.float32))


def test_numpys_read_only_view_cannot_be_written_to_and_the_array_can():
    x = np.ones(2)
    with pytest.raises(ValueError, match="read-only"):
        get_backend("numpy").read_only(x)[0] = 2
    x[0] = 2


@on_each_device
def test_a_copied_or_pickled_device_is_the_same(spec):
    place = select(spec)
    assert copy.deepcopy(place) == place
    assert pickle.loads(pickle.dumps(place)) == place
