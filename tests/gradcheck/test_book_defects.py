"""What the gradient check is for: each defect of the book's layers, put back, is told in words.

The classes are the book's in shape (a plain class with forward and backward, gradients None
until backward sets them) and in our own words. The sound ones are proved; each harmed one
differs from its sound one in a single method.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import koubai
from koubai import check_gradients
from koubai.errors import GradientError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 4))
IMAGES = RNG.standard_normal((5, 1, 2, 3))
SCORES = RNG.standard_normal((5, 4))
VECTOR = RNG.standard_normal(4)
LABELS = np.asarray([1, 3, 0, 2, 1])
ROW = np.asarray([0.0, 0.0, 1.0, 0.0])


class Relu:
    def __init__(self):
        self.mask = None

    def forward(self, x):
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dx = dout.copy()
        dx[self.mask] = 0
        return dx


class ReluWritesIntoDout(Relu):
    def backward(self, dout):
        dout[self.mask] = 0
        return dout


class ReluWritesIntoX(Relu):
    def forward(self, x):
        self.mask = x <= 0
        x[self.mask] = 0
        return x


class Sigmoid:
    def __init__(self):
        self.out = None

    def forward(self, x):
        e = np.exp(-np.abs(x))
        self.out = np.where(x >= 0, 1, e) / (1 + e)
        return self.out

    def backward(self, dout):
        return dout * (1.0 - self.out) * self.out


class SigmoidOverflows(Sigmoid):
    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out


class SigmoidWithSignTurned(Sigmoid):
    def backward(self, dout):
        return dout * (self.out - 1.0) * self.out


class SigmoidForgetsTerm(Sigmoid):
    def backward(self, dout):
        return dout * (1.0 - self.out)


class SigmoidWritesIntoOut(Sigmoid):
    def backward(self, dout):
        slope = (1.0 - self.out) * self.out
        self.out *= 0
        return dout * slope


class SigmoidGivesFloat64(Sigmoid):
    def backward(self, dout):
        return super().backward(dout) * np.ones(dout.shape)


class SigmoidGivesNaN(Sigmoid):
    def backward(self, dout):
        return super().backward(dout) * np.where(self.out > 0.5, np.nan, 1)


class SigmoidGivesInfiniteOutput(Sigmoid):
    def forward(self, x):
        super().forward(x)
        return np.where(x > 0, np.inf, -np.inf)


class SigmoidRaises(Sigmoid):
    def backward(self, dout):
        raise ZeroDivisionError("the derivative went wrong")


class SigmoidForgetsReturn(Sigmoid):
    def backward(self, dout):
        super().backward(dout)


class SigmoidGivesList(Sigmoid):
    def forward(self, x):
        return super().forward(x).tolist()


class SigmoidGivesTooMuch(Sigmoid):
    def backward(self, dout):
        return super().backward(dout), dout


class SigmoidWithNoise(Sigmoid):
    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def forward(self, x):
        return super().forward(x + self.rng.standard_normal(x.shape))


class Affine:
    def __init__(self):
        self.W = np.random.default_rng(1).standard_normal((6, 4))
        self.b = np.random.default_rng(2).standard_normal(4)
        self.dW = None
        self.db = None

    def forward(self, x):
        self.shape = x.shape
        self.x = x.reshape(x.shape[0], -1)
        return np.dot(self.x, self.W) + self.b

    def backward(self, dout):
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return np.dot(dout, self.W.T).reshape(self.shape)


class AffineWithWrongDb(Affine):
    def backward(self, dout):
        dx = super().backward(dout)
        self.db = np.mean(dout, axis=0)
        return dx


class AffineWithWrongDw(Affine):
    def backward(self, dout):
        dx = super().backward(dout)
        self.dW = self.dW / self.x.shape[0]
        return dx


class AffineForgetsDw(Affine):
    def backward(self, dout):
        dx = super().backward(dout)
        self.dW = None
        return dx


class AffineGivesFlatDx(Affine):
    def backward(self, dout):
        return super().backward(dout).reshape(self.x.shape)


class AffineWritesIntoW(Affine):
    def forward(self, x):
        self.W *= 0.9
        return super().forward(x)


class AffineReplacesW(Affine):
    def forward(self, x):
        self.W = self.W * 0.9
        return super().forward(x)


class AffineTrainsInBackward(Affine):
    def backward(self, dout):
        dx = super().backward(dout)
        self.b = self.b - 0.1 * self.db
        return dx


class SoftmaxWithLoss:
    def __init__(self):
        self.loss = None
        self.y = None
        self.t = None

    def forward(self, x, t):
        self.y = np.exp(self.log_softmax(x))
        self.labels = t
        self.t = self.rows(t, x)
        self.n = x.shape[0] if x.ndim == 2 else 1
        self.loss = -np.sum(self.t * self.log_y(x)) / self.n
        return self.loss

    def backward(self, dout=1):
        return (self.y - self.t) / self.n * dout

    def log_softmax(self, x):
        z = x - np.max(x, axis=-1, keepdims=True)
        return z - np.log(np.sum(np.exp(z), axis=-1, keepdims=True))

    def log_y(self, x):
        return self.log_softmax(x)

    def rows(self, t, x):
        return t if t.ndim == x.ndim else np.eye(x.shape[-1], dtype=x.dtype)[t]


class SoftmaxIgnoresDout(SoftmaxWithLoss):
    def backward(self, dout=1):
        return (self.y - self.t) / self.n


class SoftmaxAddsToLog(SoftmaxWithLoss):
    def log_y(self, x):
        return np.log(self.y + 1e-7)


class SoftmaxGuessesOneHotBySize(SoftmaxWithLoss):
    def rows(self, t, x):
        return t if t.size == x.size else super().rows(t, x)


class SoftmaxCountsLabels(SoftmaxWithLoss):
    def backward(self, dout=1):
        return (self.y - self.t) / self.labels.shape[0] * dout


@dataclass(frozen=True)
class Defect:
    harmed: type
    inputs: tuple[Any, ...]
    row: str
    words: str  # none for a gradient that is wrong in nothing but its values

    def __str__(self):
        return f"{self.harmed.__name__}-{'-'.join(str(x.shape) for x in self.inputs)}"


FAR_SCORES = -30.0 * np.eye(4)[LABELS]
FAR = np.asarray([[-1000.0, 0.5]])
ONE_CLASS = SCORES[:, :1], np.zeros(5, np.int64)

DEFECTS = [
    # The book's own.
    Defect(ReluWritesIntoDout, (X,), "backward", "read-only; what a layer is handed belongs to"),
    Defect(SoftmaxIgnoresDout, (SCORES, LABELS), "x", ""),
    Defect(SoftmaxAddsToLog, (FAR_SCORES, LABELS), "x", ""),
    Defect(SigmoidOverflows, (FAR,), "forward", "RuntimeWarning: overflow"),
    Defect(SoftmaxGuessesOneHotBySize, ONE_CLASS, "x", "is of shape (5, 5), not (5, 1)"),
    Defect(SoftmaxCountsLabels, (VECTOR, ROW), "x", ""),
    Defect(SoftmaxCountsLabels, (VECTOR, np.asarray(2)), "backward", "IndexError: tuple index out"),
    # Those that anybody's next layer may have.
    Defect(SigmoidWithSignTurned, (X,), "x", ""),
    Defect(SigmoidForgetsTerm, (X,), "x", ""),
    Defect(AffineWithWrongDb, (IMAGES,), "b", ""),
    Defect(AffineWithWrongDw, (IMAGES,), "W", ""),
    Defect(AffineForgetsDw, (IMAGES,), "W", "has no gradient"),
    Defect(AffineGivesFlatDx, (IMAGES,), "x", "is of shape (5, 6), not (5, 1, 2, 3)"),
    Defect(SigmoidGivesFloat64, (X.astype(np.float32),), "x", "is float64, not float32"),
    Defect(ReluWritesIntoX, (X,), "forward", "read-only; what a layer is handed belongs to"),
    Defect(AffineWritesIntoW, (IMAGES,), "forward", "read-only; what a layer is handed belongs to"),
    Defect(AffineReplacesW, (IMAGES,), "forward", "W was replaced, which only training may do"),
    Defect(AffineTrainsInBackward, (IMAGES,), "backward", "b was replaced"),
    Defect(SigmoidWritesIntoOut, (X,), "backward", "output was changed"),
    Defect(SigmoidRaises, (X,), "backward", "ZeroDivisionError: the derivative went wrong"),
    Defect(SigmoidGivesNaN, (X,), "x", "is NaN or infinite"),
    Defect(SigmoidGivesInfiniteOutput, (X,), "output", "is NaN or infinite"),
    Defect(SigmoidForgetsReturn, (X,), "x", "has no gradient"),
    Defect(SigmoidGivesList, (X,), "forward", "gave list, not an array"),
    Defect(SigmoidGivesTooMuch, (X,), "backward", "gave 2 gradients, but forward takes x"),
    Defect(SigmoidWithNoise, (X,), "forward", "gave another result for the same inputs"),
]


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_defect_fails_in_its_row_and_in_words(defect):
    report = check_gradients(defect.harmed(), *defect.inputs)
    (row,) = [row for row in report.rows if not row.passed]
    assert (row.name, row.verdict) == (defect.row, "FAIL")
    assert defect.words in row.remark
    if not defect.words:
        assert row.note == ""
        assert row.error > 0.1
    with pytest.raises(GradientError, match=rf"(?m)^  {defect.row} .*FAIL"):
        report.raise_if_failed()


@pytest.mark.parametrize("mode", ["joint", "element"])
@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_defect_fails_in_every_mode(defect, mode):
    report = check_gradients(defect.harmed(), *defect.inputs, mode=mode)
    assert not report.passed
    assert defect.words in str(report)


@pytest.mark.parametrize("defect", DEFECTS, ids=str)
def test_sound_class_passes_where_the_harmed_one_fails(defect):
    sound = defect.harmed.__base__
    report = check_gradients(sound(), *defect.inputs).raise_if_failed()
    assert len(report.rows) > 0
    assert report.title.startswith(f"{sound.__name__} on numpy, float")


def test_parameters_of_a_plain_class_are_those_with_a_gradient_beside_them():
    rows = check_gradients(Affine(), IMAGES).rows
    assert [row.name for row in rows] == ["x", "W", "b"]


def test_parameters_of_a_plain_class_are_the_same_after_it_was_used():
    layer = Affine()
    layer.dx = layer.backward(layer.forward(IMAGES))
    assert [row.name for row in check_gradients(layer, IMAGES).rows] == ["x", "W", "b"]


def test_error_of_the_layer_is_chained():
    with pytest.raises(GradientError) as caught:
        check_gradients(SigmoidRaises(), X).raise_if_failed()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


class StrictRelu(koubai.Relu):
    """A layer on a library whose arrays cannot be read-only, so that values must tell."""


class ChangesX(StrictRelu):
    def forward(self, x):
        y = super().forward(x)
        x *= 2.0
        return y


class ChangesDout(StrictRelu):
    def backward(self, dout):
        dx = super().backward(dout)
        dout *= 2.0
        return dx


class MakesOnAnotherDevice(StrictRelu):
    def backward(self, dout):
        return koubai.asarray(super().backward(dout), device="array_api_strict:CPU_DEVICE")


class ForwardsToAnotherDevice(StrictRelu):
    def forward(self, x):
        return koubai.asarray(super().forward(x), device="array_api_strict:CPU_DEVICE")

    def backward(self, dout):
        return super().backward(koubai.asarray(dout, device="array_api_strict:device1"))


@pytest.mark.parametrize(
    ("harmed", "row", "words"),
    [
        (ChangesX, "forward", "x was changed, but it belongs to the caller"),
        (ChangesDout, "backward", "dout was changed, but it belongs to the caller"),
        (MakesOnAnotherDevice, "x", "is on array_api_strict:CPU_DEVICE, not on array_"),
        (ForwardsToAnotherDevice, "output", "is on array_api_strict:CPU_DEVICE, not on array_"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_defect_on_a_device(harmed, row, words, dtype):
    pytest.importorskip("array_api_strict")
    x = koubai.asarray(X, device="array_api_strict:device1", dtype=dtype)
    check_gradients(StrictRelu(), x).raise_if_failed()
    (failed,) = [row for row in check_gradients(harmed(), x).rows if not row.passed]
    assert failed.name == row
    assert words in failed.remark


class ChangesLabels(koubai.SoftmaxWithLoss):
    def backward(self, dout=1):
        self.labels[0] = 0
        return super().backward(dout)

    def forward(self, x, t):
        self.labels = t
        return super().forward(x, t)


def test_labels_that_a_layer_changes_stay_as_they_were_for_the_caller():
    pytest.importorskip("array_api_strict")
    place = koubai.device("array_api_strict:device1")
    x, t = place.asarray(SCORES), place.asarray(LABELS)
    (row,) = check_gradients(ChangesLabels(), x, t).rows
    assert (row.name, row.remark) == ("backward", "t was changed, but it belongs to the caller")
    assert koubai.to_numpy(t).tolist() == LABELS.tolist()


class ProductForgetsDy(koubai.MulLayer):
    def backward(self, dout):
        return super().backward(dout)[0]


def test_input_without_a_gradient_fails_unless_it_is_a_target():
    (row,) = [row for row in check_gradients(ProductForgetsDy(), X, X + 1).rows if not row.passed]
    assert (row.name, row.remark) == ("y", "has no gradient")
    loss = koubai.IdentityWithLoss()
    assert [row.name for row in check_gradients(loss, X, X + 1).rows] == ["x"]


def test_defect_within_a_network_is_found_in_its_parameter():
    class WrongAffine(koubai.Affine):
        def backward(self, dout):
            dx = super().backward(dout)
            self.db = self.db * 2
            return dx

    second = WrongAffine(RNG.standard_normal((4, 4)), np.zeros(4))
    first = koubai.Affine(RNG.standard_normal((4, 4)), np.zeros(4))
    report = check_gradients(koubai.Network([first, koubai.Tanh(), second]), X, LABELS)
    assert [row.name for row in report.rows if not row.passed] == ["b2"]
