"""Testing on every backend that is there: a pytest plug-in, and the proof of a new backend.

The plug-in is loaded by pytest wherever koubai is installed, and does nothing until a test
asks for one of its fixtures: ``koubai_device``, a working `koubai.backend.Device`, and
``koubai_dtype``, the name of a floating-point dtype of it. A test that takes them runs once
for each device and dtype; a backend that is not there is a skip with its reason.

``pytest --pyargs koubai.testing.conformance --backend NAME`` proves a backend package.
"""

from koubai.testing.cells import Cell, cells

__all__ = ["Cell", "cells"]
