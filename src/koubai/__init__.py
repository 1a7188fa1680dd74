"""Layers with an explicit forward and backward, on any array library, proved right."""

__version__ = "0.1.0"
