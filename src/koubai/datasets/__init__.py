"""Data sets: MNIST, checked byte for byte, on any device."""

from koubai.datasets.mnist import load_mnist

__all__ = ["load_mnist"]
