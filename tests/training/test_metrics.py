"""Metrics: what counting by hand gives, on every device, and over batches of any size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import koubai
from koubai import Affine, IdentityWithLoss, Network, TwoLayerNet, to_numpy
from koubai.errors import DTypeError, KoubaiError, LabelError, MixedArraysError, ShapeError
from koubai.training import (
    Batches,
    accuracy,
    confusion_matrix,
    evaluate,
    prefetch,
    top_k_accuracy,
)

C = 4
labelled = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.lists(st.integers(0, 5), min_size=C, max_size=C), min_size=n, max_size=n),
        st.lists(st.integers(0, C - 1), min_size=n, max_size=n),
    )
)


@pytest.fixture
def place(koubai_device):
    if str(koubai_device).endswith("no_x64"):
        pytest.skip("array-api-strict 2.6.1 has no argmax on its device without 64-bit numbers")
    return koubai_device


@pytest.fixture
def scored(place):
    rng = np.random.default_rng(0)
    y, t = rng.integers(0, 9, (50, C)).astype(np.float32), rng.integers(0, C, 50)
    forms = (t, t.astype(np.uint8), np.eye(C, dtype=np.float32)[t])
    return y, t, [(place.asarray(y), place.asarray(form)) for form in forms]


def ranks(y, t):
    """Tell how many scores come before that of the label."""
    order = np.argsort(-np.asarray(y), axis=1, kind="stable")
    return np.argmax(order == np.asarray(t)[:, None], axis=1)


class TestOfScores:
    def test_are_what_counting_gives_on_every_device(self, place, scored):
        y, t, forms = scored
        table = np.zeros((C, C), int)
        np.add.at(table, (t, np.argmax(y, axis=1)), 1)
        for y_there, t_there in forms:
            for found, expected in [
                (accuracy(y_there, t_there), np.mean(np.argmax(y, axis=1) == t)),
                (top_k_accuracy(y_there, t_there, 2), np.mean(ranks(y, t) < 2)),
                (confusion_matrix(y_there, t_there), table),
            ]:
                assert koubai.backend.device_of(found) == place
                np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-6)

    @given(labelled)
    def test_go_together(self, case):
        y, t = np.asarray(case[0]), np.asarray(case[1])
        y = y * 1.0
        assert float(accuracy(y, t)) == float(top_k_accuracy(y, t, 1))
        for k in range(1, C + 1):
            assert float(top_k_accuracy(y, t, k)) == pytest.approx(np.mean(ranks(y, t) < k))
        table = confusion_matrix(y, t)
        assert np.trace(table) / len(t) == pytest.approx(float(accuracy(y, t)))
        assert np.sum(table, axis=1).tolist() == np.bincount(t, minlength=C).tolist()

    def test_one_sample_is_a_vector(self):
        y, t = np.asarray([0.0, 2.0, 1.0]), np.asarray(2)
        assert (float(accuracy(y, t)), float(top_k_accuracy(y, t, 2))) == (0.0, 1.0)
        assert confusion_matrix(y, t).tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]

    @pytest.mark.parametrize("label", [-1, C, 250])
    def test_no_class_is_never_hit(self, label):
        y, t = np.zeros((2, C)), np.asarray([label, 0], dtype=np.int16)
        assert float(accuracy(y, t)) == 0.5
        assert [float(top_k_accuracy(y, t, k)) for k in (1, C)] == [0.5, 0.5]
        assert np.sum(confusion_matrix(y, t)) == 1

    def test_a_score_that_is_no_number_hits_nothing_else(self):
        y, t = np.asarray([[np.nan, 1.0, 0.0]] * 2), np.asarray([1, 2])
        assert float(top_k_accuracy(y, t, 1)) == 0
        assert float(top_k_accuracy(y, t, 2)) == 0.5

    def test_confusion_matrix_takes_classes_themselves(self, place):
        y, t = place.asarray([1, 0, 1, 4]), place.asarray([1, 1, 2, 0])
        found = to_numpy(confusion_matrix(y, t, 5))
        assert [tuple(map(int, at)) for at in np.argwhere(found)] == [
            (0, 4),
            (1, 0),
            (1, 1),
            (2, 1),
        ]
        assert found.shape == (5, 5)
        with pytest.raises(KoubaiError, match="their number is wanted"):
            confusion_matrix(y, t)

    def test_confusion_matrix_may_have_more_classes_but_not_fewer(self):
        y, t = np.eye(3), np.arange(3)
        assert np.trace(confusion_matrix(y, t, 5)) == 3
        with pytest.raises(KoubaiError, match="classes is 2"):
            confusion_matrix(y, t, 2)

    @pytest.mark.parametrize("metric", [accuracy, top_k_accuracy, confusion_matrix])
    def test_refuse_what_is_no_scores_or_labels(self, metric):
        y = np.zeros((3, 6))
        with pytest.raises(ShapeError):
            metric(y, np.zeros(4, int))
        with pytest.raises(ShapeError):
            metric(np.zeros((0, 6)), np.zeros(0, int))
        with pytest.raises(DTypeError):
            metric(y, np.zeros(3))
        with pytest.raises(MixedArraysError):
            metric(y, koubai.asarray([1, 2, 3], device="array_api_strict"))

    @pytest.mark.parametrize("k", [0, -1, 7])
    def test_top_k_is_of_the_classes(self, k):
        with pytest.raises(KoubaiError, match="from 1 to the 6 classes"):
            top_k_accuracy(np.zeros((3, 6)), np.zeros(3, int), k)


def classifier(place):
    return TwoLayerNet(3, 5, C, 1.0, device=place, rng=0)


def digits(place, n=11):
    rng = np.random.default_rng(1)
    x, t = rng.standard_normal((n, 3)).astype(np.float32), rng.integers(0, C, n)
    return place.asarray(x), place.asarray(t)


class TestEvaluate:
    @pytest.mark.parametrize("size", [1, 4, 11, 1000])
    def test_counts_each_sample_the_same(self, place, size):
        network, (x, t) = classifier(place), digits(place)
        found = evaluate(
            network,
            x,
            t,
            batch_size=size,
            metrics=["accuracy", "top_2_accuracy", "confusion_matrix"],
        )
        y = to_numpy(network.predict(x))
        assert found["loss"] == pytest.approx(float(network.loss(x, t)), rel=1e-5)
        assert found["accuracy"] == network.accuracy(x, t)
        assert found["top_2_accuracy"] == np.mean(ranks(y, to_numpy(t)) < 2)
        np.testing.assert_array_equal(
            found["confusion_matrix"], confusion_matrix(y, to_numpy(t)), strict=True
        )
        assert {type(value) for value in found.values()} == {float, np.ndarray}

    def test_takes_batches_of_any_kind(self):
        place = koubai.device("cpu")
        network, (x, t) = classifier(place), digits(place)
        expected = evaluate(network, x, t, batch_size=4)
        batches = Batches(x, t, 4, rng=0)
        next(iter(batches))
        state = batches.state_dict()
        pairs = [(x[:4], t[:4]), (x[4:8], t[4:8]), (x[8:], t[8:])]
        for data in ((x, t), batches, pairs, iter(pairs), prefetch(pairs)):
            assert evaluate(network, data, batch_size=4) == expected
        assert batches.state_dict() == state
        shuffled = evaluate(network, prefetch(Batches(x, t, 4, rng=0)))
        assert shuffled == pytest.approx(expected, rel=1e-6)

    def test_leaves_the_loss_of_training(self):
        place = koubai.device("cpu")
        network, (x, t) = classifier(place), digits(place)
        loss = network.loss(x[:4], t[:4])
        evaluate(network, x, t)
        assert network.last_layer.loss is loss

    def test_of_a_regression_is_the_loss(self, koubai_device):
        W, b = koubai_device.asarray([[1.0], [2.0]]), koubai_device.asarray([0.5])
        network = Network([Affine(W, b)], IdentityWithLoss())
        x = koubai_device.asarray([[float(i), 1.0] for i in range(5)])
        t = koubai_device.asarray([[0.0]] * 5)
        found = evaluate(network, x, t, batch_size=2)
        assert found == {"loss": pytest.approx(float(network.loss(x, t)), rel=1e-6)}
        with pytest.raises(KoubaiError, match="which has no accuracy"):
            evaluate(network, x, t, metrics=["accuracy"])

    def test_takes_metrics_of_ones_own(self):
        place = koubai.device("cpu")
        network, (x, t) = classifier(place), digits(place)
        metrics = {"mean": lambda y, t: np.mean(t), "one": lambda y, t: 1.0, "accuracy": None}
        found = evaluate(network, x, t, batch_size=4, metrics=metrics)
        assert found["mean"] == pytest.approx(np.mean(t))
        assert list(found) == ["loss", "mean", "one", "accuracy"]
        assert found["one"] == 1
        assert list(evaluate(network, x, t, metrics=[])) == ["loss"]

    @pytest.mark.parametrize("bad", [-1, C])
    def test_tells_of_a_label_that_is_none(self, bad):
        place = koubai.device("cpu")
        network, (x, t) = classifier(place), digits(place)
        t[5] = bad
        with pytest.raises(LabelError, match=r"t\[1\] is"):
            evaluate(network, x, t, batch_size=4)

    @pytest.mark.parametrize("metrics", [["nonsense"], "accuracy", ["top_x_accuracy"]])
    def test_refuses_metrics_that_are_none(self, metrics):
        place = koubai.device("cpu")
        with pytest.raises(KoubaiError, match="metric"):
            evaluate(classifier(place), *digits(place), metrics=metrics)

    def test_refuses_what_is_no_data(self):
        place = koubai.device("cpu")
        network, (x, t) = classifier(place), digits(place)
        for data, error in [
            (x, "no t to go with it"),
            ([], "there are no samples"),
            (5, "is no data"),
            ([x], "a batch is a pair"),
        ]:
            with pytest.raises(KoubaiError, match=error):
                evaluate(network, data)
        with pytest.raises(KoubaiError, match="batch_size is 0"):
            evaluate(network, x, t, batch_size=0)

    def test_moves_nothing(self):
        network = classifier(koubai.device("array_api_strict"))
        with pytest.raises(MixedArraysError):
            evaluate(network, *digits(koubai.device("cpu")))
