"""Saving: weights, whole networks, checkpoints of a training, and export to ONNX.

Nothing here pickles or unpickles: arrays go into safetensors files, the rest is JSON.
"""

from koubai.saving.architecture import describe
from koubai.saving.checkpoints import Checkpoint, CheckpointFolder, CheckpointWarning
from koubai.saving.export import export_onnx
from koubai.saving.known import register_layer, register_network
from koubai.saving.weights import Unmatched, load_network, load_weights, save_network

load = load_network

__all__ = [
    "Checkpoint",
    "CheckpointFolder",
    "CheckpointWarning",
    "Unmatched",
    "describe",
    "export_onnx",
    "load",
    "load_network",
    "load_weights",
    "register_layer",
    "register_network",
    "save_network",
]
