"""A network in a file: the same from everywhere, back on every device bit for bit."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import koubai
from koubai import Affine, Network, Relu, TwoLayerNet, to_numpy
from koubai.errors import ArchitectureError, DTypeError, NotAnArrayError, SavingError
from koubai.saving import load_network, load_weights, save_network

from .samples import Norm, kept, network_of_all, same

DTYPES = ["float16", "float32", "float64"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def small(dtype="float32", **options):
    return TwoLayerNet(4, 3, 2, 0.5, rng=0, dtype=dtype, **options)


def sealed(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("sealed") / "net.safetensors"
    save_network(network, path)
    return path.read_bytes()


# There and back


@pytest.mark.parametrize("dtype", DTYPES)
def test_network_comes_back_on_every_device(device, dtype, path):
    with device.backend.float64():
        if dtype not in device.backend.dtypes(device.name):
            pytest.skip(f"{device} has no {dtype}")
        network = network_of_all(device, dtype)
        network.save(path)
        back = load_network(path, device=device)
        assert same(kept(back), kept(network))
        assert back.device == device
        assert back.dtype == dtype
        x = device.asarray(np.random.default_rng(1).standard_normal((6, 4)), dtype=dtype)
        assert to_numpy(back.predict(x)).tobytes() == to_numpy(network.predict(x)).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_file_is_the_same_from_every_device_and_loads_on_numpy(device, dtype, path, tmp_path):
    with device.backend.float64():
        if dtype not in device.backend.dtypes(device.name):
            pytest.skip(f"{device} has no {dtype}")
        network_of_all(koubai.device("cpu"), dtype).save(path)
        network_of_all(device, dtype).save(tmp_path / "other")
        assert (tmp_path / "other").read_bytes() == path.read_bytes()
        back = load_network(path, device=device)
        assert same(kept(back), kept(load_network(tmp_path / "other", device="cpu")))


def test_arrays_of_a_loaded_network_are_its_own_and_train(path):
    net = small()
    net.save(path)
    back = load_network(path, device="cpu")
    x, t = np.ones((5, 4), np.float32), np.asarray([0, 1, 1, 0, 1])
    for key, gradient in back.gradient(x, t).items():
        back.params[key] -= 0.1 * gradient
    assert not np.array_equal(back.params["W2"], net.params["W2"])


def test_trained_by_a_compiled_step_the_new_weights_are_saved(device, path):
    net = small(device=device)
    before = kept(net)
    step = koubai.compile_step(net, koubai.SGD(lr=0.5))
    x = device.asarray(np.ones((5, 4)), dtype="float32")
    t = device.asarray(np.asarray([0, 1, 1, 0, 1]))
    step(x, t)
    net.save(path)
    after = kept(load_network(path, device="cpu"))
    assert same(after, kept(net))
    assert not np.array_equal(after["W2"], before["W2"])


def test_dtype_and_device_can_be_chosen(path):
    small("float64").save(path)
    assert load_network(path).dtype == "float64"
    assert load_network(path, dtype="float32").dtype == "float32"
    with koubai.device("array_api_strict"):
        assert str(load_network(path).device).startswith("array_api_strict")


def test_dtype_that_the_device_lacks_is_an_error(path):
    small("float64").save(path)
    with pytest.raises(DTypeError, match="float64"):
        load_network(path, device="array_api_strict:no_float64")


def test_dtype_that_the_device_lacks_can_be_changed_on_the_way(path):
    small("float64").save(path)
    back = load_network(path, device="array_api_strict:no_float64", dtype="float32")
    assert back.dtype == "float32"


def test_state_that_is_not_there_yet_is_no_obstacle(path):
    class Late(Norm):
        def __init__(self, gamma, beta):
            self.gamma, self.beta = gamma, beta
            self.momentum, self.axes = 0.5, (0,)

        def forward(self, x):
            if not hasattr(self, "running_mean"):
                self.running_mean = self.gamma * 0.0
            return super().forward(x)

    koubai.saving.register_layer(Late)
    fresh = Network([Late(np.ones(2), np.zeros(2))])
    fresh.save(path)
    assert list(kept(load_network(path))) == ["gamma1", "beta1"]
    used = load_network(path)
    used.predict(np.ones((3, 2)))
    used.save(path)
    assert "Late1.running_mean" in kept(load_network(path))
    fresh.load_weights(path)
    assert same(kept(fresh), kept(used))


def test_strides_and_byte_order_do_not_matter(path):
    net = small("float64")
    wanted = kept(net)
    affine = net.layers["Affine1"]
    affine.W = np.asfortranarray(affine.W).astype(">f8")
    net.save(path)
    assert same(kept(load_network(path)), wanted)


def test_readers_of_torch_and_jax_and_safetensors_read_it(path):
    torch_reader = pytest.importorskip("safetensors.torch")
    jax_reader = pytest.importorskip("safetensors.flax", exc_type=ImportError)
    net = network_of_all(koubai.device("cpu"), "float32")
    net.save(path)
    for load_file in (safetensors.numpy.load_file, torch_reader.load_file, jax_reader.load_file):
        found = {key: np.asarray(array) for key, array in load_file(path).items()}
        assert same(dict(sorted(found.items())), dict(sorted(kept(net).items())))


def test_metadata_tells_version_and_format(path):
    import json

    small().save(path)
    with safetensors.safe_open(path, "numpy") as file:
        notes = json.loads(file.metadata()["koubai"])
    assert notes["format"] == 1
    assert notes["koubai"] == koubai.__version__
    assert notes["architecture"]["class"] == "TwoLayerNet"


# What is altered, truncated or something else


@given(data=st.data())
def test_any_altered_byte_is_noticed(data, tmp_path_factory):
    whole = sealed(small(), tmp_path_factory)
    place = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("altered") / "net.safetensors"
    path.write_bytes(whole[:place] + bytes([whole[place] ^ byte]) + whole[place + 1 :])
    with pytest.raises(SavingError, match=r"net\.safetensors"):
        load_network(path)


@given(data=st.data())
def test_any_truncation_is_noticed(data, tmp_path_factory):
    whole = sealed(small(), tmp_path_factory)
    path = tmp_path_factory.mktemp("short") / "net.safetensors"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(SavingError, match="truncated"):
        load_network(path)


class Trap:
    """What would make a file of its own when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("load", [load_network, small().load_weights])
def test_a_pickle_is_refused_and_not_opened(load, tmp_path):
    path = tmp_path / "net.pkl"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(SavingError, match=r"is a pickle.*Save it as safetensors"):
        load(path)
    assert not (tmp_path / "sprung").exists()


def test_saving_never_imports_pickle_for_reading():
    import koubai.saving as package

    for name in package.__all__:
        module = sys.modules[getattr(getattr(package, name), "__module__", package.__name__)]
        assert not hasattr(module, "pickle")


def test_file_of_a_newer_format_says_what_to_install(path, monkeypatch):
    monkeypatch.setattr("koubai.saving.sealed.FORMAT", 2)
    small().save(path)
    monkeypatch.undo()
    with pytest.raises(SavingError, match=r"format 2.*reads format 1.*pip install --upgrade"):
        load_network(path)


def test_weights_without_an_architecture_say_how_to_load_them(path):
    safetensors.numpy.save_file({"W1": np.ones((4, 3))}, path)
    with pytest.raises(SavingError, match=r"\(W1\).*network.load_weights\(path\)"):
        load_network(path)


def test_no_such_file_and_a_folder_are_clear_errors(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(SavingError, match="cannot be read") as caught:
            load_network(path)
        assert isinstance(caught.value.__cause__, OSError)


def test_where_a_file_cannot_be_written_the_old_one_stays(path, monkeypatch):
    net = small()
    net.save(path)
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    net.params["W1"] += 1
    with pytest.raises(SavingError, match="No space left"):
        net.save(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_folder_that_is_not_there_is_a_clear_error(tmp_path):
    with pytest.raises(SavingError, match="make the folder"):
        small().save(tmp_path / "none" / "net.safetensors")


def test_dtype_that_no_file_holds_is_named(path):
    net = Network([Affine(np.ones((2, 2)), np.ones(2)), Relu()])
    net.layers["Affine1"].W = np.ones((2, 2), np.complex64)
    with pytest.raises(DTypeError, match="W1 is complex64"):
        net.save(path)


# Weights by name


def test_weights_go_into_a_network_and_keep_its_device_and_dtype(device, path):
    source = small("float64")
    source.save(path)
    net = TwoLayerNet(4, 3, 2, rng=5, device=device, dtype="float32")
    net.load_weights(path)
    assert net.device == device
    assert net.dtype == "float32"
    for key, array in kept(source).items():
        assert np.array_equal(to_numpy(net.params[key]), array.astype(np.float32))


def test_weights_from_a_dict_of_another_library(device):
    source = small(device=device)
    net = TwoLayerNet(4, 3, 2, rng=5)
    net.load_weights(dict(source.params))
    assert same(kept(net), kept(source))


def test_state_of_layers_is_loaded_too():
    place = koubai.device("cpu")
    one, other = network_of_all(place), network_of_all(place)
    one.predict(np.ones((2, 4), np.float32))
    assert not np.array_equal(one.layers["Norm1"].running_mean, other.layers["Norm1"].running_mean)
    other.load_weights(kept(one))
    assert same(kept(one), kept(other))


def test_one_error_lists_all_that_is_missing_unexpected_and_misshapen():
    net = small()
    before = kept(net.copy())
    given = {"W1": np.ones((3, 4)), "b1": np.ones(3), "W9": np.ones(1), "b2": np.ones(3)}
    with pytest.raises(ArchitectureError) as caught:
        load_weights(net, given)
    text = str(caught.value)
    assert "missing there: W2" in text
    assert "unexpected there: W9" in text
    assert "W1 is of shape (3, 4), wanted (4, 3)" in text
    assert "b2 is of shape (3,), wanted (2,)" in text
    assert same(kept(net), before)


def test_not_strict_loads_what_both_have():
    net = small()
    given = {"b1": np.full(3, 7.0), "extra": np.ones(1)}
    left = load_weights(net, given, strict=False)
    assert left.missing == ("W1", "W2", "b2")
    assert left.unexpected == ("extra",)
    assert np.array_equal(net.params["b1"], np.full(3, 7.0, np.float32))


def test_not_strict_still_needs_the_shapes_and_something_to_load():
    with pytest.raises(ArchitectureError, match=r"b1 is of shape \(4,\)"):
        load_weights(small(), {"b1": np.ones(4)}, strict=False)
    with pytest.raises(ArchitectureError, match=r"unexpected there: layer\.weight"):
        load_weights(small(), {"layer.weight": np.ones(4)}, strict=False)


def test_numbers_too_large_for_the_dtype_are_an_error():
    net = small("float16")
    with pytest.raises(ArchitectureError, match=r"b1 .* too large .* float16.*astype"):
        load_weights(net, {"b1": np.full(3, 1e6)}, strict=False)


def test_complex_numbers_are_not_cut_to_real_ones():
    with pytest.raises(ArchitectureError, match="b1 is complex128"):
        load_weights(small(), {"b1": np.ones(3, complex)}, strict=False)


def test_what_is_no_array_is_named():
    with pytest.raises(NotAnArrayError, match="b1"):
        load_weights(small(), {"b1": [1.0, 2.0, 3.0]}, strict=False)


def test_old_gradients_are_gone():
    net = small()
    net.gradient(np.ones((2, 4), np.float32), np.asarray([0, 1]))
    net.load_weights(kept(small()))
    assert not hasattr(net.layers["Affine1"], "dW")


def test_bfloat16_of_others_is_read_exactly(path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    weights = {key: torch.asarray(array).bfloat16() for key, array in kept(small()).items()}
    save_file(weights, path)
    net = small()
    net.load_weights(path)
    for key, array in weights.items():
        assert np.array_equal(net.params[key], array.float().numpy())


def test_dtypes_that_numpy_lacks_are_named(path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    save_file({"W1": torch.ones(4).to(torch.float8_e4m3fn)}, path)
    with pytest.raises(SavingError, match="W1 is of the dtype F8_E4M3"):
        small().load_weights(path)


def test_importing_koubai_imports_nothing_of_saving():
    code = (
        "import sys, koubai; n = koubai.TwoLayerNet(2, 2, 2); "
        "print([m for m in sys.modules if 'safetensors' in m or m.startswith('koubai.saving')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
