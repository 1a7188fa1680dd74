"""The rules: the book's, on every device, and PyTorch's where they agree."""

import numpy as np
import pytest

import koubai
from koubai import TwoLayerNet, to_numpy
from koubai.errors import MixedArraysError, OptimizerError, ShapeError
from koubai.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSprop, WeightDecay

RTOL = {"float32": 1e-5, "float64": 1e-12}


# The book's formulas, element by element


def book_sgd(p, g, s, t):
    p -= 0.1 * g


def book_momentum(p, g, s, t):
    s["v"] = 0.5 * s["v"] - 0.1 * g
    p += s["v"]


def book_nesterov(p, g, s, t):
    s["v"] *= 0.5
    s["v"] -= 0.1 * g
    p += 0.5 * 0.5 * s["v"]
    p -= (1 + 0.5) * 0.1 * g


def book_adagrad(p, g, s, t):
    s["h"] += g * g
    p -= 0.1 * g / (np.sqrt(s["h"]) + 1e-7)


def book_rmsprop(p, g, s, t):
    s["h"] *= 0.75
    s["h"] += (1 - 0.75) * g * g
    p -= 0.1 * g / (np.sqrt(s["h"]) + 1e-7)


def book_adam(p, g, s, t):
    lr_t = 0.1 * np.sqrt(1.0 - 0.99**t) / (1.0 - 0.8**t)
    s["m"] += (1 - 0.8) * (g - s["m"])
    s["v"] += (1 - 0.99) * (g**2 - s["v"])
    p -= lr_t * s["m"] / (np.sqrt(s["v"]) + 1e-7)


BOOK = {
    "SGD": (lambda: SGD(lr=0.1), book_sgd),
    "Momentum": (lambda: Momentum(lr=0.1, momentum=0.5), book_momentum),
    "Nesterov": (lambda: Nesterov(lr=0.1, momentum=0.5), book_nesterov),
    "AdaGrad": (lambda: AdaGrad(lr=0.1), book_adagrad),
    "RMSprop": (lambda: RMSprop(lr=0.1, decay_rate=0.75), book_rmsprop),
    "Adam": (lambda: Adam(lr=0.1, beta1=0.8, beta2=0.99), book_adam),
}


@pytest.mark.parametrize(("make_rule", "formula"), BOOK.values(), ids=BOOK)
def test_rule_is_the_books(arrays, dtype, given, make_rule, formula):
    values, gradients = given
    params, optimizer = arrays(values), make_rule()
    expected = {key: np.asarray(value) for key, value in values.items()}
    kept = {key: {name: np.zeros_like(p) for name in "vhm"} for key, p in expected.items()}
    for t in range(1, 6):
        grads = {key: np.asarray(value) * (3 - t) for key, value in gradients.items()}
        optimizer.update(params, arrays(grads))
        for key, p in expected.items():
            formula(p, grads[key], kept[key], t)
            np.testing.assert_allclose(to_numpy(params[key]), p, RTOL[dtype], 1e-6)
            for name in optimizer.arrays:
                found = to_numpy(getattr(optimizer, name)[key])
                np.testing.assert_allclose(found, kept[key][name], RTOL[dtype], 1e-7)


def test_names_and_numbers_are_the_books():
    shown = [repr(kind()) for kind in (SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam)]
    assert shown == [
        "SGD(lr=0.01)",
        "Momentum(lr=0.01, momentum=0.9)",
        "Nesterov(lr=0.01, momentum=0.9)",
        "AdaGrad(lr=0.01, eps=1e-07)",
        "RMSprop(lr=0.01, decay_rate=0.99, eps=1e-07)",
        "Adam(lr=0.001, beta1=0.9, beta2=0.999)",
    ]
    assert repr(SGD(0.5)) == "SGD(lr=0.5)"
    assert (
        repr(Momentum(0.5, 0.8, nesterov=True)) == "Momentum(lr=0.5, momentum=0.8, nesterov=True)"
    )
    assert repr(Adam(eps=1e-8)) == "Adam(lr=0.001, beta1=0.9, beta2=0.999, eps=1e-08)"
    assert (Momentum().v, AdaGrad().h, RMSprop().h) == (None, None, None)
    assert (Adam().m, Adam().v, Adam().iter) == (None, None, 0)


# PyTorch's

PAIRS = {
    "SGD": (SGD(0.1), "SGD", {"lr": 0.1}),
    "Momentum": (Momentum(0.1, 0.9), "SGD", {"lr": 0.1, "momentum": 0.9}),
    "Momentum, nesterov": (
        Momentum(0.1, 0.9, nesterov=True),
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    ),
    "WeightDecay": (
        WeightDecay(Momentum(0.1, 0.9), 0.05),
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05},
    ),
    "AdaGrad": (AdaGrad(0.1, eps=1e-10), "Adagrad", {"lr": 0.1}),
    "RMSprop": (RMSprop(0.01, 0.99, eps=1e-8), "RMSprop", {"lr": 0.01, "alpha": 0.99}),
    "Adam": (Adam(0.01, eps=1e-8), "Adam", {"lr": 0.01}),
    "Adam, large eps": (Adam(0.01, eps=0.1), "Adam", {"lr": 0.01, "eps": 0.1}),
    "Adam, WeightDecay": (
        WeightDecay(Adam(0.01, eps=1e-8), 0.1),
        "Adam",
        {"lr": 0.01, "weight_decay": 0.1},
    ),
    "AdamW": (AdamW(0.01), "AdamW", {"lr": 0.01, "weight_decay": 0.01}),
}


@pytest.mark.parametrize(("mine", "name", "options"), PAIRS.values(), ids=PAIRS)
def test_hundred_steps_are_those_of_torch(given, mine, name, options):
    torch = pytest.importorskip("torch", reason="PyTorch's optimizers are what is compared with")
    values, _ = given
    params = {key: np.asarray(value) for key, value in values.items()}
    theirs = [torch.tensor(value, dtype=torch.float64) for value in values.values()]
    other = getattr(torch.optim, name)(theirs, **options)
    rng = np.random.default_rng(0)
    for _ in range(100):
        grads = {key: rng.standard_normal(p.shape) + 0.1 * p for key, p in params.items()}
        for tensor, gradient in zip(theirs, grads.values(), strict=True):
            tensor.grad = torch.from_numpy(gradient)
        mine.update(params, grads)
        other.step()
    for p, tensor in zip(params.values(), theirs, strict=True):
        np.testing.assert_allclose(p, tensor.numpy(), rtol=1e-10, atol=1e-12)


def test_nesterov_of_the_book_is_not_that_of_the_paper(given):
    values, gradients = given
    steps = []
    for rule in (Nesterov(0.1, 0.5), Momentum(0.1, 0.5, nesterov=True)):
        params = {key: np.asarray(value) for key, value in values.items()}
        rule.update(params, {key: np.asarray(value) for key, value in gradients.items()})
        steps.append((params["W1"][0, 0] - 1.0) / -0.05)
    np.testing.assert_allclose(steps, [1 + 0.5 + 0.25, 1 + 0.5])


# On every device


def test_dtype_and_device_stay(arrays, device, dtype, given, make):
    params, rule = arrays(given[0]), make()
    for _ in range(2):
        rule.update(params, arrays(given[1]))
    kept = {key: value for key, value in rule.state_dict().items() if hasattr(value, "dtype")}
    found = [*params.values(), *kept.values()]
    assert {str(to_numpy(array).dtype) for array in found} == {dtype}
    assert {koubai.backend.device_of(array) for array in found} == {device}


def test_gradients_are_left_as_they_were(arrays, given, make):
    params, grads, rule = arrays(given[0]), arrays(given[1]), make()
    for _ in range(2):
        rule.update(params, grads)
    for key, value in given[1].items():
        assert to_numpy(grads[key]).tolist() == value


def test_parameters_are_written_where_they_lie_in_numpy(given, make):
    params, grads = ({key: np.asarray(v) for key, v in named.items()} for named in given)
    before = dict(params)
    make().update(params, grads)
    assert all(params[key] is before[key] for key in params)
    assert params["b1"].tolist() != given[0]["b1"]


def test_network_learns(device, dtype, make):
    net, rule = TwoLayerNet(4, 6, 3, 0.5, device=device, dtype=dtype, rng=0), make()
    x = device.asarray(np.random.default_rng(1).standard_normal((5, 4)), dtype=dtype)
    t = device.asarray([0, 2, 1, 1, 0])
    first = float(net.loss(x, t))
    for _ in range(30):
        rule.update(net.params, net.gradient(x, t))
    assert float(net.loss(x, t)) < first


# Mistakes

WRONG = {
    "negative lr": lambda: SGD(-0.1),
    "NaN": lambda: Adam(float("nan")),
    "infinite": lambda: AdaGrad(float("inf")),
    "no number": lambda: Momentum("fast"),
    "momentum 1": lambda: Momentum(0.1, 1.0),
    "negative momentum": lambda: Nesterov(0.1, -0.5),
    "decay rate": lambda: RMSprop(0.1, 1.5),
    "beta1": lambda: Adam(beta1=1.0),
    "beta2": lambda: Adam(beta2=-0.1),
    "eps": lambda: Adam(eps=-1e-8),
    "weight decay": lambda: AdamW(weight_decay=-1),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_number_out_of_range_is_refused(wrong):
    with pytest.raises(OptimizerError, match="wanted") as caught:
        wrong()
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, koubai.errors.KoubaiError)


def test_error_names_the_number():
    with pytest.raises(OptimizerError, match=r"Adam: beta1 is 2, .* at least 0 and less than 1"):
        Adam(beta1=2)


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), np.asarray(0.5)], ids=repr)
def test_scalar_of_numpy_becomes_a_number(value):
    assert type(SGD(value).lr) is float


def test_parameters_of_another_shape_are_refused(given):
    params, grads = ({key: np.asarray(v) for key, v in named.items()} for named in given)
    rule = Momentum()
    rule.update(params, grads)
    with pytest.raises(ShapeError, match=r'v\["b1"\] has the shape \(2,\), but the parameter \(1,'):
        rule.update({"b1": np.zeros(1)}, {"b1": np.zeros(1)})


def test_parameter_that_comes_later_begins_from_zero(given):
    params, grads = ({key: np.asarray(v) for key, v in named.items()} for named in given)
    rule = Momentum(0.1)
    rule.update({"b1": params["b1"]}, grads)
    rule.update(params, grads)
    np.testing.assert_allclose(params["W1"], given[0]["W1"] - 0.1 * grads["W1"])


def test_parameters_that_moved_without_their_optimizer_are_refused():
    strict = pytest.importorskip("array_api_strict", reason="two devices are wanted")
    first, second = (koubai.device(f"array_api_strict:{name}") for name in ("device1", "device2"))
    net = TwoLayerNet(4, 6, 3, device=first, rng=0)
    x, t = np.ones((2, 4), np.float32), np.asarray([0, 1])
    for rule in (Momentum(0.1), AdaGrad(), RMSprop(), Adam()):
        net.to(first)
        rule.update(net.params, net.gradient(first.asarray(x), first.asarray(t)))
        grads = net.to(second).gradient(second.asarray(x), second.asarray(t))
        with pytest.raises(MixedArraysError, match=r"optimizer\.to\(device\)"):
            rule.update(net.params, grads)
        assert rule.to(second) is rule
        rule.update(net.params, grads)
    assert net.params["W1"].device == strict.Device("device2")
