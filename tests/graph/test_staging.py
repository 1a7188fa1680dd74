"""What a picture shows of a graph: its places, its edges, and the numbers on them."""

import numpy as np
import pytest

import koubai
from koubai.graph import Variable, draw
from koubai.graph.picture.staging import amount_of


def scene(y, **options):
    return draw(y, **options).scene


def ended(y, name="y"):
    y.name = name
    y.backward()
    return y


@pytest.fixture
def apples():
    apple, number, tax = Variable(100, "apple"), Variable(2, "number"), Variable(1.1, "tax")
    return ended(apple * number * tax, "price")


def test_values_and_derivatives_are_those_of_the_book(apples):
    places = scene(apples).places
    told = [(place.name or place.symbol, place.value.text, place.gradient.text) for place in places]
    assert told == [
        ("apple", "100", "2.2"),
        ("number", "2", "110.00000000000001"),
        ("\N{MULTIPLICATION SIGN}", "200", "1.1"),
        ("tax", "1.1", "200"),
        ("price", "220.00000000000003", "1"),
    ]


def test_edges_carry_their_share(apples):
    edges = scene(apples).edges
    assert [edge.gradient.text for edge in edges] == ["2.2", "110.00000000000001", "1.1", "200"]


def test_before_backward_there_are_no_derivatives():
    shown = scene(Variable(2.0) * Variable(3.0))
    assert all(place.gradient is None for place in shown.places)
    assert all(edge.gradient is None for edge in shown.edges)


def test_digits_are_rounded_where_asked(apples):
    assert scene(apples, digits=3).places[-1].value.text == "220"


def test_a_shared_input_is_one_place_with_a_total():
    x = Variable(3.0, "x")
    shown = scene(ended(x * x + x))
    (place,) = [place for place in shown.places if place.name == "x"]
    assert place.gradient.text == "7.0"
    shares = [edge.gradient.text for edge in shown.edges if edge.source == place.key]
    assert sorted(shares) == ["1", "3.0", "3.0"]


def test_constants_have_no_derivative():
    shown = scene(ended(Variable(3.0, "x") * 2.0))
    (place,) = [place for place in shown.places if place.kind == "constant"]
    (edge,) = [edge for edge in shown.edges if edge.source == place.key]
    assert (place.value.text, place.gradient, edge.gradient) == ("2.0", None, None)


def test_a_network_is_drawn_layer_by_layer_with_its_parameters_aside():
    net = koubai.TwoLayerNet(6, 5, 4, rng=0)
    x = np.random.default_rng(0).standard_normal((7, 6)).astype(np.float32)
    shown = scene(ended(net.loss(Variable(x, "x"), np.arange(7) % 4), "loss"))
    layers = [place.symbol for place in shown.places if place.kind == "layer"]
    parameters = [place.name for place in shown.places if place.kind == "parameter"]
    assert layers == ["Affine(6, 5)", "Relu", "Affine(5, 4)", "SoftmaxWithLoss"]
    assert parameters == ["W1", "b1", "W2", "b2"]


def test_large_arrays_are_told_by_shape_norm_and_range():
    amount = amount_of(np.full((100, 784), 2.0, np.float32))
    assert amount.text == "float32 (100, 784)"
    assert amount.detail == "norm 560, 2 … 2"
    assert amount.numbers is None


def test_small_arrays_are_written_out():
    amount = amount_of(np.asarray([[1.0, -0.5]]))
    assert (amount.text, amount.numbers) == ("[[1, -0.5]]", [[1.0, -0.5]])


def test_no_negative_zero_where_digits_are_rounded():
    assert amount_of(np.asarray([-0.0, 1.0])).text == "[0, 1]"


@pytest.mark.parametrize("made", [koubai.Sigmoid, koubai.Relu, koubai.Tanh])
def test_an_opened_layer_ends_in_the_same_value_and_derivative(made):
    x = Variable(np.asarray([1.0, -0.5, 2.0]), "x")
    y = made().forward(x)
    y.backward(np.asarray([1.0, 2.0, 3.0]))
    closed, opened = scene(y), scene(y, opened=True)
    assert all(place.kind != "layer" or place.layer == "Tanh" for place in opened.places)
    for one, other in (
        (closed.places[-1].value, opened.places[-1].value),
        (closed.places[0].gradient, opened.places[0].gradient),
    ):
        np.testing.assert_allclose(one.numbers, other.numbers, rtol=1e-12)


def test_the_sigmoid_opens_into_the_graph_of_the_book():
    y = ended(koubai.Sigmoid().forward(Variable(1.0, "x")))
    signs = [p.symbol for p in scene(y, opened=True).places if p.kind == "operation"]
    assert signs == ["\N{MULTIPLICATION SIGN}", "exp", "+", "/"]


def test_a_sigmoid_far_out_opens_as_it_is_computed():
    y = ended(koubai.Sigmoid().forward(Variable(-1000.0, "x")))
    assert [p.value.text for p in scene(y, opened=True).places][-1] == "0.0"


def test_softmax_with_loss_opens_into_the_graph_of_the_book():
    x = Variable(np.asarray([[0.3, 2.9, 4.0]]), "x")
    loss = ended(koubai.SoftmaxWithLoss().forward(x, np.asarray([2])), "loss")
    shown = scene(loss, opened={"SoftmaxWithLoss"})
    signs = [place.symbol for place in shown.places if place.kind == "operation"]
    times = "\N{MULTIPLICATION SIGN}"
    assert signs == ["exp", "\N{GREEK CAPITAL LETTER SIGMA}", "/", "log", times, signs[1], times]
    first = shown.places[0].gradient.numbers
    np.testing.assert_allclose(first, x.grad, rtol=1e-12)


def test_only_the_layers_that_are_asked_for_are_opened():
    net = koubai.TwoLayerNet(3, 4, 2, rng=0)
    loss = net.loss(Variable(np.ones((2, 3), np.float32), "x"), np.asarray([0, 1]))
    loss.backward()
    kinds = {place.layer for place in scene(loss, opened={"Affine"}).places if place.layer}
    assert kinds == {"MatMul", "AddLayer", "Relu", "SoftmaxWithLoss"}


def test_a_layer_that_cannot_be_opened_stays_a_box():
    class Host(koubai.Layer):
        def forward(self, x):
            return np.asarray(np.sin(np.asarray(x)))

        def backward(self, dout):
            return dout

    y = Host().forward(Variable(np.asarray([1.0]), "x"))
    assert [place.layer for place in scene(y, opened=True).places] == ["", "Host"]


def test_the_picture_stays_after_the_layers_have_given_up_what_they_held(apples):
    with pytest.raises(koubai.GraphError, match="freed"):
        apples.backward()
    assert len(scene(apples).places) == 5


@pytest.mark.parametrize("value", [Variable(3.0), 3.0, None])
def test_what_is_no_graph_is_refused(value):
    with pytest.raises(koubai.KoubaiError, match="not the end of a graph"):
        draw(value)


def test_a_description_tells_the_graph(apples):
    told = scene(apples).description
    assert told.startswith("From apple = 100, number = 2, tax = 1.1 by ")
    assert "price = 220.00000000000003" in told


def test_a_graph_on_a_device(koubai_device):
    x = Variable(koubai_device.asarray(np.asarray([1.0, 2.0]), dtype="float32"), "x")
    y = ended((x * x).sum())
    assert scene(y).places[0].gradient.text == "[2, 4]"
