"""Selecting a device: the grammar, the proof, the errors, and which default wins."""

import asyncio
import operator
import sys
import threading
from types import ModuleType, SimpleNamespace

import array_api_compat
import numpy as np
import pytest

from koubai.backend import (
    Backend,
    Device,
    asarray,
    device,
    device_of,
    devices,
    get_backend,
    get_default_device,
    place,
    proof,
    register_backend,
    selection,
    set_default_device,
)
from koubai.backend.plugins import Registry
from koubai.errors import (
    BackendNotInstalledError,
    DeviceNotAvailableError,
    DeviceSpecError,
    KoubaiError,
    UnknownBackendError,
)
from koubai_cupy import CupyBackend
from koubai_numpy import NumpyBackend


class FakeArray:
    """An array on a device that does not exist, with a product that can be told to fail."""

    def __init__(self, host, backend, device):
        self.host, self.backend, self.device = host, backend, device

    def __matmul__(self, other):
        return self.backend.multiply(self, other)


class Fake(Backend):
    """A library of `FakeArray`."""

    name = "fake"
    library = "numpy"
    install = "pip install fake"
    remedy = "Plug the card in."
    xp = np
    names = ("0",)
    found_gpus = ()
    product = staticmethod(operator.matmul)

    def __init__(self):
        self.products = 0

    def devices(self):
        return self.names

    def gpus(self):
        return self.found_gpus

    def from_numpy(self, host, device):
        return FakeArray(host, self, device)

    def to_numpy(self, array):
        return array.host

    def owns(self, array):
        return isinstance(array, FakeArray) and array.backend is self

    def device_of(self, array):
        return array.device

    def multiply(self, x, y):
        self.products += 1
        return FakeArray(self.product(x.host, y.host), self, x.device)


@pytest.fixture(autouse=True)
def no_default(monkeypatch):
    """Begin with nothing selected and nothing proved."""
    monkeypatch.delenv("KOUBAI_DEVICE", raising=False)
    monkeypatch.setattr(selection, "_default", None)
    monkeypatch.setattr(proof, "_proved", set())


@pytest.fixture
def bare(monkeypatch):
    """Give a registry that knows NumPy alone."""
    registry = Registry()
    registry._found = {}
    registry.register(NumpyBackend)
    monkeypatch.setattr(selection, "registry", registry)
    monkeypatch.setattr(place, "registry", registry)
    return registry


@pytest.fixture
def fake(bare):
    """Register fake backends; give the instance of the last."""

    def fake(*names, **members):
        for name in names:
            register_backend(type("Fake", (Fake,), {"name": name} | members))
        return bare.load(names[-1])

    return fake


def boom(*_):
    raise OSError("error 100: no card\nin slot 1")


# The grammar


@pytest.mark.parametrize(
    ("spec", "canonical"),
    [
        ("numpy", "numpy"),
        ("cpu", "numpy"),
        (" cpu\n", "numpy"),
        ("torch", "torch:cpu"),
        ("torch:cpu", "torch:cpu"),
        ("torch:cpu:0", "torch:cpu"),
        ("jax:cpu", "jax:cpu"),
        ("jax:cpu:0", "jax:cpu"),
        ("array_api_strict", "array_api_strict:CPU_DEVICE"),
        ("array_api_strict:device1", "array_api_strict:device1"),
    ],
)
def test_a_string_gives_a_device_whose_own_string_gives_it_again(spec, canonical):
    pytest.importorskip({"cpu": "numpy"}.get(spec.strip(), spec.partition(":")[0]))
    found = device(spec)
    assert str(found) == canonical
    assert repr(found) == f"koubai.device({canonical!r})"
    assert device(str(found)) == found
    assert hash(device(canonical)) == hash(found)
    assert device(found) is found
    assert str(device_of(found.asarray([1.0]))) == canonical


@pytest.mark.parametrize("spec", ["cuda", "gpu", "auto", " gpu "])
@pytest.mark.parametrize(
    ("installed", "chosen"),
    [
        (["zoo", "ant", "jax", "torch", "cupy"], "cupy:0"),
        (["zoo", "ant", "jax", "torch"], "torch:0"),
        (["zoo", "ant", "jax"], "jax:0"),
        (["zoo", "ant"], "ant:0"),
    ],
)
def test_the_first_backend_with_a_gpu_is_chosen(fake, spec, installed, chosen):
    fake(*installed, found_gpus=("0",))
    assert str(device(spec)) == chosen


@pytest.mark.parametrize("spec", ["cuda:1", "gpu:1"])
def test_a_number_chooses_among_the_gpus_of_the_first_backend_that_has_so_many(fake, spec):
    fake("cupy", found_gpus=("0",))
    fake("torch", names=("cpu", "cuda:0", "cuda:1"), found_gpus=("cuda:0", "cuda:1"))
    assert str(device(spec)) == "torch:cuda:1"


@pytest.mark.parametrize(
    "flaw",
    [
        {"gpus": boom},
        {"devices": boom},
        {"product": staticmethod(boom)},
        {"product": staticmethod(operator.mul)},
        {"found_gpus": ()},
        {"xp": property(boom)},
    ],
)
def test_a_gpu_that_does_not_work_is_passed_over(fake, flaw):
    fake("cupy", **{"found_gpus": ("0",)} | flaw)
    assert str(device("auto")) == "numpy"
    fake("torch", found_gpus=("0",))
    assert str(device("cuda")) == "torch:0"
    assert str(device("auto")) == "torch:0"


def test_auto_is_the_cpu_where_there_is_no_gpu(bare):
    assert str(device("auto")) == "numpy"


def test_no_working_gpu_is_an_error_with_the_reason_of_each_backend(fake):
    fake("cupy", gpus=boom)
    fake("torch", names=("cpu",))
    fake("jax", found_gpus=("0",), product=staticmethod(operator.mul))
    with pytest.raises(DeviceNotAvailableError, match=r"^'gpu': no backend has") as caught:
        device("gpu")
    _, cupy, torch, jax, last = str(caught.value).splitlines()
    assert "cupy:" in cupy
    assert "OSError: error 100: no card. Plug the card in." in cupy
    assert "no device 'torch:cuda'" in torch
    assert "Write torch:cpu" in torch
    assert jax.startswith("  jax:0: a matrix product gave [[1.0, 4.0], [9.0, 16.0]]")
    assert "koubai.device('cpu')" in last


def test_backends_that_are_not_installed_give_no_reason(bare):
    with pytest.raises(DeviceNotAvailableError) as caught:
        device("gpu")
    assert len(str(caught.value).splitlines()) == 2


def test_a_gpu_number_too_high_is_answered_with_the_numbers_there_are(fake):
    fake("cupy", found_gpus=("0",))
    with pytest.raises(DeviceNotAvailableError, match=r"cupy has no GPU 7; it has 0\."):
        device("cuda:7")


# Errors


@pytest.mark.parametrize("spec", ["", "   ", None, 5, b"cpu", ["cpu"]])
def test_what_is_no_string_names_no_device(spec):
    with pytest.raises(DeviceSpecError) as caught:
        device(spec)
    assert f"{spec!r} names no device" in str(caught.value)
    assert "'cpu', 'cuda'" in str(caught.value)
    assert "koubai.devices()" in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("nmupy", UnknownBackendError, ["no backend 'nmupy'", "Did you mean 'numpy'?"]),
        ("CUDA", UnknownBackendError, ["no backend 'CUDA'", "Did you mean 'cuda'?"]),
        (":0", UnknownBackendError, ["no backend ''", "numpy"]),
        ("cpu:3", DeviceSpecError, ["'cpu:3'", "takes no number", "Write 'cpu'"]),
        ("auto:1", DeviceSpecError, ["'auto:1'", "takes no number", "Write 'auto'"]),
        ("cuda:x", DeviceSpecError, ["'cuda:x'", "number", "'cuda:1'"]),
        ("gpu:-1", DeviceSpecError, ["'gpu:-1'", "number", "'cuda:1'"]),
        ("numpy:0", DeviceNotAvailableError, ["no device 'numpy:0'", "Write numpy."]),
    ],
)
def test_a_string_that_names_no_device_is_answered_with_one_that_does(spec, error, words):
    with pytest.raises(error) as caught:
        device(spec)
    for word in words:
        assert word in str(caught.value)


def test_torch_without_cuda_says_which_build_it_is_and_where_another_is():
    torch = pytest.importorskip("torch")
    if torch.version.cuda is not None:
        pytest.skip("this PyTorch is built for CUDA")
    with pytest.raises(DeviceNotAvailableError, match=r"torch:cuda:0: .* without CUDA") as caught:
        device("torch:cuda")
    assert torch.__version__ in str(caught.value)
    assert "https://pytorch.org/get-started" in str(caught.value)
    assert "torch:cpu" in str(caught.value)


def test_torch_with_cuda_but_no_gpu_says_so(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(
        DeviceNotAvailableError, match=r"built for CUDA 13.0.*no working GPU.*nvidia-smi"
    ):
        device("torch:cuda:0")


@pytest.mark.parametrize("spec", ["jax:gpu", "jax:cuda", "jax:gpu:0"])
def test_jax_without_a_gpu_says_how_it_gets_one(spec):
    jax = pytest.importorskip("jax")
    if any(each.platform == "gpu" for each in jax.devices()):
        pytest.skip("JAX has a GPU here")
    with pytest.raises(DeviceNotAvailableError, match=r"no device 'jax:gpu:0'") as caught:
        device(spec)
    assert "Write jax:cpu" in str(caught.value)
    assert 'pip install "jax[cuda13]"' in str(caught.value)


@pytest.mark.parametrize("spec", ["torch:nowhere", "array_api_strict:device9", "jax:quantum"])
def test_a_device_that_a_library_lacks_is_answered_with_those_it_has(spec):
    backend = get_backend_or_skip(spec.partition(":")[0])
    with pytest.raises(DeviceNotAvailableError, match=f"no device '{spec}") as caught:
        device(spec)
    assert f"{backend.name}:{backend.devices()[0]}" in str(caught.value)


def get_backend_or_skip(name):
    pytest.importorskip(name)
    return get_backend(name)


def test_cupy_that_is_not_installed_is_answered_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "array_api_compat.cupy", raising=False)
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(BackendNotInstalledError, match=r"'cupy' needs cupy") as caught:
        device("cupy")
    assert "not installed" in str(caught.value)
    assert "pip install cupy-cuda13x" in str(caught.value)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    (row,) = [each for each in devices() if each.device.startswith("cupy")]
    assert (row.state, row.reason) == ("not installed", str(caught.value))


@pytest.fixture
def cupy(monkeypatch, bare):
    """Put a CuPy in place whose driver answers as it is told."""

    def cupy(count):
        module = ModuleType("cupy")
        module.__version__ = "99.0"
        module.cuda = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=count))
        monkeypatch.setitem(sys.modules, "cupy", module)
        monkeypatch.setitem(sys.modules, "array_api_compat.cupy", module)
        monkeypatch.setattr(array_api_compat, "cupy", module, raising=False)
        register_backend(CupyBackend)

    return cupy


class CUDARuntimeError(RuntimeError):
    """CuPy's error has this name."""


def no_driver():
    raise CUDARuntimeError("cudaErrorInsufficientDriver: driver version is insufficient")


@pytest.mark.parametrize("spec", ["cupy", "cupy:0", "cupy:1"])
def test_cupy_without_a_driver_is_told_from_cupy_not_installed(cupy, spec):
    cupy(no_driver)
    with pytest.raises(DeviceNotAvailableError, match=f"{spec}: cupy is installed, but") as caught:
        device(spec)
    what = "no device works" if spec == "cupy" else "this device does not work"
    assert f"{what}: CUDARuntimeError: cudaErrorInsufficientDriver" in str(caught.value)
    assert "nvidia-smi" in str(caught.value)
    assert 'koubai.device("cpu")' in str(caught.value)
    assert isinstance(caught.value.__cause__, CUDARuntimeError)
    (row,) = [each for each in devices() if each.device.startswith("cupy")]
    assert (row.state, row.version) == ("no usable device", "99.0")
    assert "nvidia-smi" in row.reason
    assert str(device("auto")) == "numpy"


def test_cupy_that_sees_no_gpu_says_what_it_needs(cupy):
    cupy(lambda: 0)
    for spec in ("cupy", "cupy:0", "cuda"):
        with pytest.raises(DeviceNotAvailableError, match=r"sees no device.*nvidia-smi"):
            device(spec)
    (row,) = [each for each in devices() if each.device.startswith("cupy")]
    assert row.state == "no usable device"
    assert "sees no device" in row.reason


def test_a_gpu_that_is_not_there_is_answered_with_those_that_are(cupy):
    cupy(lambda: 1)
    with pytest.raises(DeviceNotAvailableError, match=r"no device 'cupy:7' here. Write cupy:0\."):
        device("cupy:7")
    assert get_backend("cupy").gpus() == ("0",)


# The proof


def test_a_device_is_available_only_after_a_matrix_product_ran_and_then_for_good(fake):
    backend = fake("fake", names=("0", "1"))
    assert backend.products == 0
    assert device("fake:1") == device("fake:1")
    assert backend.products == 1
    device("fake:0")
    assert backend.products == 2


@pytest.mark.parametrize("failing", ["devices", "from_numpy", "product", "synchronize", "to_numpy"])
def test_a_device_that_raises_is_refused_until_it_is_mended(fake, failing):
    backend = fake("fake", **{failing: boom})
    for _ in range(2):
        with pytest.raises(DeviceNotAvailableError, match=r"fake.* does not work") as caught:
            device("fake:0")
        assert "OSError: error 100: no card. Plug the card in." in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError)
    (row,) = [each for each in devices() if each.device.startswith("fake")]
    assert row.state == "no usable device"
    setattr(type(backend), failing, Fake.__dict__.get(failing, getattr(Backend, failing, None)))
    assert str(device("fake:0")) == "fake:0"


def test_a_device_that_multiplies_wrongly_is_refused(fake):
    fake("fake", product=staticmethod(operator.mul))
    with pytest.raises(DeviceNotAvailableError) as caught:
        device("fake")
    assert "[[1.0, 4.0], [9.0, 16.0]] instead of [[7, 10], [15, 22]]" in str(caught.value)
    assert "Plug the card in." in str(caught.value)


def test_a_device_that_multiplies_elsewhere_is_refused(fake):
    fake("fake", names=("cpu", "gpu"), device_of=lambda self, array: "cpu")
    assert str(device("fake:cpu")) == "fake:cpu"
    with pytest.raises(DeviceNotAvailableError, match=r"fake:gpu: .* landed on fake:cpu"):
        device("fake:gpu")


def test_a_backend_that_is_registered_again_is_proved_again(fake):
    fake("fake")
    first = device("fake")
    second = fake("fake")
    assert device("fake") != first
    assert second.products == 1


def test_devices_tells_of_every_device_and_prints_as_a_table(fake):
    fake("fake", names=("good", "bad"), product=staticmethod(operator.matmul))
    fake("worse", product=staticmethod(operator.mul))
    table = devices()
    assert [(row.device, row.state, row.works) for row in table] == [
        ("numpy", "works", True),
        ("fake:good", "works", True),
        ("fake:bad", "works", True),
        ("worse:0", "no usable device", False),
    ]
    assert table[0].version == np.__version__
    lines = repr(table).splitlines()
    assert lines[0] == f"numpy      works             {np.__version__}"
    assert lines[3].startswith("worse:0    no usable device  worse:0: a matrix product gave")


# Which default wins


def test_without_any_choice_arrays_are_numpys():
    assert str(get_default_device()) == "numpy"
    assert type(asarray([1.0])) is np.ndarray


def test_the_order_is_argument_then_with_then_default_then_environment(fake, monkeypatch):
    for name in ("argument", "outer", "inner", "default", "environment"):
        fake(name)
    monkeypatch.setenv("KOUBAI_DEVICE", "environment")
    assert made_on() == "environment:0"
    set_default_device("default")
    assert made_on() == "default:0"
    with device("outer"):
        assert made_on() == "outer:0"
        with device("inner"):
            assert made_on() == "inner:0"
            assert made_on("argument") == "argument:0"
        assert made_on() == "outer:0"
    assert made_on() == "default:0"
    set_default_device(None)
    assert made_on() == "environment:0"
    monkeypatch.delenv("KOUBAI_DEVICE")
    assert made_on() == "numpy"


def made_on(spec=None):
    """Name the device on which a new array lies."""
    made = str(device_of(asarray([1.0], device=spec)))
    if spec is None:
        assert str(get_default_device()) == made
    return made


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_environment_variable_is_as_none(monkeypatch, value):
    monkeypatch.setenv("KOUBAI_DEVICE", value)
    assert str(get_default_device()) == "numpy"


@pytest.mark.parametrize("value", ["nmupy", "cpu:3", "numpy:1"])
def test_an_error_from_the_environment_names_the_variable(monkeypatch, value):
    monkeypatch.setenv("KOUBAI_DEVICE", value)
    with pytest.raises(KoubaiError) as caught:
        get_default_device()
    assert any(f"KOUBAI_DEVICE={value!r}" in note for note in caught.value.__notes__)
    with device("cpu"):
        assert str(get_default_device()) == "numpy"


def test_a_default_that_does_not_work_leaves_the_old_one(fake):
    fake("good")
    fake("bad", product=staticmethod(boom))
    set_default_device("good")
    with pytest.raises(DeviceNotAvailableError):
        set_default_device("bad")
    assert made_on() == "good:0"


def test_with_restores_after_an_exception(fake):
    fake("fake")
    with pytest.raises(ZeroDivisionError), device("fake"):
        assert 1 / 0
    assert made_on() == "numpy"


def test_one_device_may_be_entered_twice(fake):
    fake("fake", "other")
    fake_device = device("fake")
    with fake_device, device("other"):
        with fake_device as entered:
            assert entered is fake_device
            assert made_on() == "fake:0"
        assert made_on() == "other:0"
    assert made_on() == "numpy"


def test_a_generator_that_ends_first_takes_only_its_own_device_away(fake):
    fake("fake", "other")

    def batches():
        with device("fake"):
            yield

    running = batches()
    next(running)
    with device("other"):
        running.close()
        assert made_on() == "other:0"
    assert made_on() == "numpy"


def test_with_is_seen_in_its_own_thread_only_and_the_default_in_all(fake):
    fake("default", "mine", "theirs")
    set_default_device("default")
    seen = []

    def look():
        seen.append(made_on())
        with device("theirs"):
            seen.append(made_on())
            inside.set()
            assert leave.wait(10)

    inside, leave = threading.Event(), threading.Event()
    thread = threading.Thread(target=look)
    with device("mine"):
        thread.start()
        assert inside.wait(10)
        seen.append(made_on())
    leave.set()
    thread.join()
    assert seen == ["default:0", "theirs:0", "mine:0"]


def test_with_is_seen_in_its_own_task_only(fake):
    fake("one", "two")

    async def work(name, log):
        with device(name):
            await asyncio.sleep(0)
            log.append(made_on())
            await asyncio.sleep(0)
        log.append(made_on())

    async def both():
        logs = [], []
        await asyncio.gather(work("one", logs[0]), work("two", logs[1]))
        return logs

    assert asyncio.run(both()) == (["one:0", "numpy"], ["two:0", "numpy"])


def test_a_device_is_the_default_wherever_it_is_entered_not_where_it_is_made(fake):
    fake("fake")
    made = device("fake")
    assert made_on() == "numpy"
    with made:
        assert made_on() == "fake:0"
    assert isinstance(made, Device)
