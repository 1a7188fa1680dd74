"""CuPy on a machine without an NVIDIA driver: every door gives an error that helps."""

import subprocess
import sys
from textwrap import dedent

import pytest

from koubai.backend import device, devices, get_backend, set_default_device
from koubai.errors import DeviceNotAvailableError

cupy = pytest.importorskip("cupy", reason="CuPy is not installed")


def count_gpus():
    """Count as CuPy counts; its error for no driver is none."""
    try:
        return cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        return 0


pytestmark = pytest.mark.skipif(count_gpus() > 0, reason="CuPy has a GPU here")


@pytest.mark.parametrize("spec", ["cupy", "cupy:0", "cupy:1"])
def test_the_error_names_the_driver_and_what_to_do(spec):
    with pytest.raises(DeviceNotAvailableError, match=f"^{spec}: cupy is installed, but") as caught:
        device(spec)
    assert "CUDARuntimeError: cudaError" in str(caught.value)
    assert "nvidia-smi" in str(caught.value)
    assert 'koubai.device("cpu")' in str(caught.value)
    assert isinstance(caught.value.__cause__, cupy.cuda.runtime.CUDARuntimeError)


def test_the_default_device_cannot_be_cupys():
    with pytest.raises(DeviceNotAvailableError):
        set_default_device("cupy")
    assert str(device("cpu")) == "numpy"


def test_the_library_is_there_and_the_device_is_not():
    assert get_backend("cupy").version() == cupy.__version__
    (row,) = [each for each in devices() if each.device.startswith("cupy")]
    assert (row.state, row.version) == ("no usable device", cupy.__version__)
    assert "nvidia-smi" in row.reason


def test_cuda_tells_why_cupy_does_not_serve_and_auto_is_the_cpu():
    code = """
        from koubai.backend import device
        from koubai.errors import DeviceNotAvailableError
        for spec in ("cuda", "gpu", "cuda:1"):
            try:
                print(device(spec))
            except DeviceNotAvailableError as error:
                print("cupy: cupy is installed, but" in str(error), "nvidia-smi" in str(error))
        print(device("auto"))
    """
    # The other libraries are shut out: one of them may have a GPU.
    shut = "import sys; sys.modules['torch'] = sys.modules['jax'] = None\n"
    command = [sys.executable, "-W", "error", "-c", shut + dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 6 + ["numpy"]
