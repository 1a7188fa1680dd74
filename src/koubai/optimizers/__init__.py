"""Optimizers: what gradients do to parameters (the book, chapter 6), and parts to compose them."""

from koubai.optimizers import schedules
from koubai.optimizers.adagrad import AdaGrad
from koubai.optimizers.adam import Adam, AdamW
from koubai.optimizers.clip_norm import ClipNorm
from koubai.optimizers.contract import Optimizer, Parameters
from koubai.optimizers.momentum import Momentum, Nesterov
from koubai.optimizers.rmsprop import RMSprop
from koubai.optimizers.rule import Rule
from koubai.optimizers.scheduled import Scheduled
from koubai.optimizers.sgd import SGD
from koubai.optimizers.weight_decay import WeightDecay
from koubai.optimizers.wrapper import Wrapper

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "ClipNorm",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "Parameters",
    "RMSprop",
    "Rule",
    "Scheduled",
    "WeightDecay",
    "Wrapper",
    "schedules",
]
