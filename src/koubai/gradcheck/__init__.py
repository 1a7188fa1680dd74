"""Proving gradients: numerically, for every layer, on every device that is there."""

from koubai.gradcheck.check import check_gradients
from koubai.gradcheck.report import GradientReport, GradientRow
from koubai.numerical import numerical_gradient

__all__ = ["GradientReport", "GradientRow", "check_gradients", "numerical_gradient"]
