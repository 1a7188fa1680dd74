"""What a network is made of goes through JSON, and only known classes come out."""

import json

import numpy as np
import pytest

import koubai
from koubai import Affine, Cast, IdentityWithLoss, Layer, Network, Relu, Sum, Transpose
from koubai.errors import ArchitectureError, SavingError
from koubai.saving import (
    describe,
    known,
    load_network,
    register_layer,
    register_network,
    save_network,
)
from koubai.saving.sealed import seal

from .samples import Named, Norm, kept, network_of_all, same


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


@pytest.fixture(autouse=True)
def restored():
    before = dict(known.LAYERS), dict(known.NETWORKS)
    yield
    for table, names in zip((known.LAYERS, known.NETWORKS), before, strict=True):
        table.clear()
        table.update(names)


def affine():
    return Affine(np.ones((2, 2)), np.zeros(2))


class Passing(Layer):
    def forward(self, x):
        return x

    def backward(self, dout):
        return dout


def test_description_is_json():
    told = describe(network_of_all(koubai.device("cpu")))
    assert json.loads(json.dumps(told))["layers"]["Affine1"] == {
        "class": "Affine",
        "arrays": {"W": "W1", "b": "b1"},
    }


def test_settings_and_last_layer_come_back(path):
    network_of_all(koubai.device("cpu")).save(path)
    back = load_network(path)
    assert list(back.layers) == ["Reshape1", "Affine1", "Norm1", "Sigmoid1", "Affine2", "Mean1"]
    norm = back.layers["Norm1"]
    assert type(norm) is Norm
    assert (norm.momentum, norm.axes, norm.name) == (0.8, (0,), "hidden")
    assert back.layers["Reshape1"].shape == (-1, 4)
    assert (back.layers["Mean1"].axis, back.layers["Mean1"].keepdims) == (-1, True)
    assert type(back.last_layer) is IdentityWithLoss


def test_state_that_forward_changed_comes_back(path):
    net = network_of_all(koubai.device("cpu"))
    net.predict(np.ones((3, 4), np.float32))
    net.save(path)
    assert same(kept(load_network(path)), kept(net))


def test_class_and_attributes_of_a_network_come_back(path):
    Named((3, 4, 2), "mine").save(path)
    back = load_network(path)
    assert type(back) is Named
    assert (back.sizes, back.title) == ((3, 4, 2), "mine")


def test_attribute_with_a_default_in_the_class_comes_back(path):
    @register_network
    class Decaying(Network):
        decay = 0.0

    net = Decaying([affine()])
    net.decay = 0.5
    net.save(path)
    assert load_network(path).decay == 0.5


def test_weight_decay_of_a_multi_layer_net_comes_back(path):
    net = koubai.networks.MultiLayerNet(4, [5, 3], 2, weight_decay_lambda=0.25, rng=0)
    net.save(path)
    back = load_network(path)
    x, t = np.ones((2, 4), np.float32), np.asarray([0, 1])
    assert type(back) is type(net)
    assert float(back.loss(x, t)) == float(net.loss(x, t))


def test_dtype_as_a_setting_comes_back_in_the_new_library(device, path):
    net = Network([Cast(device.xp.float32), Transpose((1, 0)), Sum(axis=(0,))])
    net.save(path)
    back = load_network(path, device=device)
    x = device.asarray(np.ones((2, 3)), dtype="float32")
    assert back.predict(x).shape == (2,)
    assert back.layers["Cast1"].dtype == device.xp.float32


def test_arrays_that_two_layers_share_come_back_shared(path):
    W, b = np.ones((2, 2)), np.zeros(2)
    Network([Affine(W, b), Affine(W, b)]).save(path)
    back = load_network(path)
    assert back.params["W1"] is back.params["W2"]
    assert back.params["W1"] is not W


def test_changed_names_of_layers_come_back(path):
    net = Network([affine(), Relu()])
    net.layers = {"first": net.layers["Affine1"], "second": net.layers["Relu1"]}
    net.save(path)
    assert list(load_network(path).layers) == ["first", "second"]


def test_layer_that_is_not_known_says_what_to_write(path):
    Network([affine(), Passing()]).save(path)
    with pytest.raises(ArchitectureError) as caught:
        load_network(path)
    assert "koubai.saving.register_layer(Passing)" in str(caught.value)
    register_layer(Passing)
    assert type(load_network(path).layers["Passing1"]) is Passing


def test_network_class_that_is_not_known_says_what_to_write(path):
    class Mine(Network):
        pass

    Mine([affine()]).save(path)
    with pytest.raises(ArchitectureError, match=r"koubai\.saving\.register_network\(Mine\)"):
        load_network(path)
    register_network(Mine)
    assert type(load_network(path)) is Mine


def test_a_name_in_a_file_imports_nothing(path):
    told = {
        "class": "Network",
        "attributes": {},
        "layers": {"a": {"class": "os.system", "settings": {"command": "true"}}},
        "last_layer": {"class": "IdentityWithLoss"},
    }
    path.write_bytes(seal("test", {}, {"kind": "network", "architecture": told}))
    with pytest.raises(ArchitectureError, match=r"'os.system', which is not known"):
        load_network(path)


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {},
        {"class": ["Network"]},
        {"class": "Network", "layers": 3},
        {"class": "Network", "layers": {}, "last_layer": {"class": "Relu", "arrays": 3}},
        {"class": "Network", "layers": {}, "last_layer": {"class": "Relu", "arrays": {"W": "Q"}}},
        {
            "class": "Network",
            "layers": {},
            "last_layer": {"class": "Cast", "dtypes": {"dtype": "load"}},
        },
    ],
)
def test_a_description_that_makes_no_sense_is_a_clear_error(told, path):
    path.write_bytes(seal("test", {}, {"kind": "network", "architecture": told}))
    with pytest.raises(SavingError, match="does not understand"):
        load_network(path)


@pytest.mark.parametrize("name", ["predict", "params", "layers", "__class__", "_x"])
def test_attributes_of_a_file_do_not_replace_methods(path, name):
    told = describe(Network([affine()])) | {"attributes": {name: 1}}
    arrays = {"W1": np.ones((2, 2)), "b1": np.ones(2)}
    path.write_bytes(seal("test", arrays, {"kind": "network", "architecture": told}))
    with pytest.raises(ArchitectureError, match=f"{name!r}, which is part of Network"):
        load_network(path)


def test_settings_that_no_longer_fit_the_class_are_a_clear_error(path):
    class Scaled(Passing):
        def __init__(self, factor):
            self.factor = factor

    Network([Scaled(2)]).save(path)

    class Scaled(Passing):
        def __init__(self, other):
            self.other = other

    register_layer(Scaled)
    with pytest.raises(ArchitectureError, match=r"Scaled1: Scaled\(factor\) cannot be made"):
        load_network(path)


def test_setting_without_an_attribute_says_what_to_do(path):
    class Forgetful(Passing):
        def __init__(self, ratio):
            self.kept = ratio

    with pytest.raises(ArchitectureError, match=r"made with 'ratio'.*self\.ratio = ratio"):
        save_network(Network([Forgetful(0.5)]), path)
    assert not path.exists()


def test_method_settings_tells_them_instead(path):
    @register_layer
    class Telling(Passing):
        def __init__(self, ratio, rng=None):
            self.kept, self.rng = ratio, rng

        def settings(self):
            return {"ratio": self.kept}

    save_network(Network([Telling(0.5, np.random.default_rng())]), path)
    assert load_network(path).layers["Telling1"].kept == 0.5


def test_parameters_that_init_does_not_take_are_put_in(path):
    @register_layer
    class Drawing(Passing):
        parameters = ("W",)

        def __init__(self, size):
            self.size = size
            self.W = np.random.default_rng().standard_normal(size)

    net = Network([Drawing(4)])
    net.save(path)
    assert same(kept(load_network(path)), kept(net))


def test_setting_that_is_not_plain_is_named(path):
    class Holding(Passing):
        def __init__(self, table):
            self.table = table

    with pytest.raises(ArchitectureError, match=r"Holding1: table is builtins.set"):
        save_network(Network([Holding({1})]), path)


def test_own_class_with_a_name_of_koubai_is_refused(path):
    class Relu(Passing):
        pass

    with pytest.raises(ArchitectureError, match="Rename your class"):
        save_network(Network([Relu()]), path)
    with pytest.raises(ArchitectureError, match="Relu is the name of a class of koubai's own"):
        register_layer(Relu)


def test_class_that_was_defined_again_is_registered_again(path):
    def define():
        class Again(Passing):
            pass

        return Again

    register_layer(define())
    second = define()
    with pytest.raises(ArchitectureError, match=r"register_layer\(Again\)"):
        save_network(Network([second()]), path)
    register_layer(second)
    save_network(Network([second()]), path)
    assert type(load_network(path).layers["Again1"]) is second


def test_what_is_no_layer_or_network_is_not_registered():
    for thing in (Passing(), int, "Relu"):
        with pytest.raises(ArchitectureError, match="register_layer"):
            register_layer(thing)
        with pytest.raises(ArchitectureError, match="register_network"):
            register_network(thing)
