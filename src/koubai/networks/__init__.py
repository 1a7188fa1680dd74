"""Networks: layers in a row with the book's names for their parameters."""

from koubai.networks.multi_layer_net import MultiLayerNet
from koubai.networks.network import Network
from koubai.networks.parameters import GradientView, ParameterView
from koubai.networks.two_layer_net import TwoLayerNet

__all__ = ["GradientView", "MultiLayerNet", "Network", "ParameterView", "TwoLayerNet"]
