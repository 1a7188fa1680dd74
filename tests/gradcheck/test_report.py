"""The report says what was proved, what failed, and why, and lets nothing pass by."""

import math

import pytest

from koubai.errors import GradientError, KoubaiError
from koubai.gradcheck import GradientReport, GradientRow

GOOD = GradientRow("x", (5, 4), 1e-9, 1e-7)
BAD = GradientRow("W", (6, 4), 2.0, 1e-7)
NAN = GradientRow("b", (4,), math.nan, 1e-7)
KINK = GradientRow("x", (5, 4), 0.5, 1e-7, kink=True)
ODD = GradientRow("b", (), math.inf, 0.0, "", "is float64, not float32")


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (GOOD, "PASS"),
        (GradientRow("x", (), 1e-7, 1e-7), "PASS"),
        (BAD, "FAIL"),
        (NAN, "FAIL"),
        (KINK, "KINK"),
        (GradientRow("x", (), 0.0, 1e-7, kink=True), "KINK"),
        (ODD, "FAIL"),
        (GradientRow("x", (), 0.0, 1e-7, note="is of shape (), not (4,)"), "FAIL"),
    ],
)
def test_verdict_of_a_row(row, verdict):
    assert row.verdict == verdict
    assert row.passed == (verdict == "PASS")


@pytest.mark.parametrize(("rows", "passed"), [([GOOD, GOOD], True), ([GOOD, KINK], False)])
def test_report_passes_when_every_row_does(rows, passed):
    assert GradientReport("Relu()", rows).passed == passed


def test_report_without_rows_proves_nothing():
    assert not GradientReport("Relu()").passed


def test_worst_is_a_failed_row_or_the_one_with_the_largest_error():
    better = GradientRow("b", (4,), 1e-11, 1e-7)
    assert GradientReport("", [better, GOOD]).worst is GOOD
    assert GradientReport("", [GOOD, NAN, better]).worst is NAN
    assert GradientReport("", [GOOD, ODD]).worst is ODD


def test_table_of_a_report():
    by_element = GradientRow("x", (2,), 0.25, 1e-7, worst=(1,), mean_difference=0.125)
    report = GradientReport("Affine(6, 4) on numpy, float64", [GOOD, by_element, ODD, KINK])
    assert (
        f"\n{report}\n"
        == """
gradient check of Affine(6, 4) on numpy, float64
  name  shape   error    tolerance  against             verdict
  x     (5, 4)  1.0e-09  1.0e-07    central difference  PASS
  x     (2,)    2.5e-01  1.0e-07    central difference  FAIL     worst at (1,), mean difference 1.2e-01
  b     -       -        -          -                   FAIL     is float64, not float32
  x     (5, 4)  5.0e-01  1.0e-07    central difference  KINK     no derivative here: move the point
"""  # noqa: E501  (a table)
    )


def test_raise_if_failed_gives_the_report_or_raises_with_its_table_and_cause():
    good = GradientReport("Relu()", [GOOD])
    assert good.raise_if_failed() is good
    cause = ZeroDivisionError("by zero")
    bad = GradientReport("Relu()", [GOOD, ODD], cause)
    with pytest.raises(GradientError) as caught:
        bad.raise_if_failed()
    assert str(bad) in str(caught.value)
    assert caught.value.__cause__ is cause
    assert isinstance(caught.value, (KoubaiError, AssertionError))
