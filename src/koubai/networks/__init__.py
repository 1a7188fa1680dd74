"""Networks: layers in a row with the book's names for their parameters."""

from typing import TYPE_CHECKING

from koubai.later import later
from koubai.networks.network import Network
from koubai.networks.parameters import GradientView, ParameterView
from koubai.networks.two_layer_net import TwoLayerNet

if TYPE_CHECKING:
    from koubai.networks.multi_layer_net import MultiLayerNet

__all__ = ["GradientView", "MultiLayerNet", "Network", "ParameterView", "TwoLayerNet"]

_LATER = {"MultiLayerNet": "multi_layer_net"}

__getattr__ = later(__name__, _LATER)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
