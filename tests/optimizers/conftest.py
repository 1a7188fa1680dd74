"""What the tests of optimizers share: parameters, gradients, and an optimizer of each kind."""

import pytest

from koubai.optimizers import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    ClipNorm,
    Momentum,
    Nesterov,
    RMSprop,
    Scheduled,
    WeightDecay,
    schedules,
)

P = {"W1": [[1.0, -2.0], [0.5, 0.0]], "b1": [3.0, -1.0]}
G = {"W1": [[0.5, 1.0], [-2.0, 4.0]], "b1": [-1.0, 0.0]}

KINDS = {
    "SGD": lambda: SGD(0.1),
    "Momentum": lambda: Momentum(0.1),
    "Momentum, nesterov": lambda: Momentum(0.1, nesterov=True),
    "Nesterov": lambda: Nesterov(0.05),
    "AdaGrad": lambda: AdaGrad(0.1),
    "RMSprop": lambda: RMSprop(0.02),
    "Adam": lambda: Adam(0.05),
    "Adam, eps": lambda: Adam(0.05, eps=1e-8),
    "AdamW": lambda: AdamW(0.05, weight_decay=0.1),
    "WeightDecay": lambda: WeightDecay(Momentum(0.1), 0.01),
    "ClipNorm": lambda: ClipNorm(SGD(0.1), 0.5),
    "Scheduled": lambda: Scheduled(SGD(), schedules.cosine(0.2, 50)),
    "all": lambda: Scheduled(
        ClipNorm(WeightDecay(Adam(), 0.01, prefix="W"), 1.0),
        schedules.warm_up(3, schedules.step(0.1, 5, 0.5)),
    ),
}


@pytest.fixture
def arrays(device, dtype):
    return lambda named: {key: device.asarray(value, dtype=dtype) for key, value in named.items()}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def make(request):
    """Give a function that makes an optimizer, of each kind in turn."""
    return request.param


@pytest.fixture
def given():
    """Give the values of parameters and their gradients."""
    return P, G
