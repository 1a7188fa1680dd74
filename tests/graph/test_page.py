"""The page of a graph, opened in a real browser."""
# ruff: noqa: RUF001 - the signs are those of the page

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from koubai import layers
from koubai.graph.picture.html import page

from .browser import Browser, Page, find_browser
from .page_scenes import apple, apple_and_orange, edge, given, network, operation, scene, used_twice


@pytest.fixture(scope="session")
def browser():
    program = find_browser()
    if program is None:
        reason = "there is no Chromium on the PATH"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(f"REQUIRE_BROWSER=1, but {reason}")
        pytest.skip(reason)
    with Browser(program) as browser:
        yield browser


@pytest.fixture
def show(browser, tmp_path):
    """Open the page of a scene; in the end it has complained of nothing and loaded nothing."""
    file, opened = tmp_path / "page.html", []

    def show(scene, **options):
        file.write_text(page(scene), "utf-8")
        shown = Page(browser, **options)
        opened.append(shown)
        shown.open(file)
        return shown

    yield show
    for shown in opened:
        with shown:
            assert shown.run("document.title")
            assert shown.complaints == []
            assert shown.requests == [file.as_uri()]


def seen(page, role, key):
    """Give the number of a text of the drawing, or None where it is hidden."""
    return page.run(
        f"""(() => {{
            const text = drawing.querySelector('[data-{role}="{key}"]');
            if (getComputedStyle(text).visibility === "hidden") return null;
            return text.textContent.split(/= |← /).at(-1);
        }})()"""
    )


def lit(page):
    """Give the keys of the places and edges that are lit up."""
    key = "one => one.dataset.place ?? one.dataset.edge"
    return set(page.run(f"[...drawing.querySelectorAll('.lit')].map({key})"))


def equations(page):
    words = "one => one.innerText.replace(/\\s+/g, ' ').trim()"
    return page.run(f"[...document.querySelectorAll('#story .equation')].map({words})")


def test_the_passes_are_stepped_through_with_the_keys(show):
    shown = show(apple())
    assert [seen(shown, "value", key) for key in ("n0", "n1", "n2")] == ["100", "2", "1.1"]
    assert seen(shown, "value", "n3") is None
    shown.press("ArrowRight")
    assert seen(shown, "value", "n3") == "200"
    assert seen(shown, "value", "n4") is None
    assert equations(shown) == ["apple_total = apple × apple_num = 100 × 2 = 200"]
    assert lit(shown) == {"n0-n3-0", "n1-n3-1", "n3"}
    shown.press("ArrowRight")
    assert seen(shown, "value", "n4") == "220.00000000000003"
    assert equations(shown) == ["price = apple_total × tax = 200 × 1.1 = 220.00000000000003"]
    shown.press("ArrowRight")
    assert "At the end itself the derivative is 1." in shown.text("#story")
    assert seen(shown, "gradient", "n3-n4-0") is None
    shown.press("ArrowRight")
    assert equations(shown) == ["1 × 1.1 = 1.1", "1 × 200 = 200"]
    assert seen(shown, "gradient", "n2-n4-1") == "200"
    assert seen(shown, "gradient", "n0-n3-0") is None
    shown.press("ArrowRight")
    assert equations(shown) == ["1.1 × 2 = 2.2", "1.1 × 100 = 110.00000000000001"]
    assert seen(shown, "gradient", "n0-n3-0") == "2.2"
    shown.press("ArrowLeft")
    assert seen(shown, "gradient", "n0-n3-0") is None
    shown.press("Home")
    assert shown.text("#progress-text") == "Step 0 of 6: start"
    shown.press("End")
    assert shown.text("#progress-text") == "Step 6 of 6: end"


def test_the_buttons_do_what_the_keys_do(show):
    shown = show(apple())
    texts = []
    for button in ("#next", "#next", "#previous", "#last", "#next", "#first", "#previous"):
        shown.click(button)
        texts.append(int(shown.text("#progress-text").split()[1]))
    assert texts == [1, 2, 1, 6, 6, 0, 0]


def test_steps_go_in_the_order_of_the_passes(show):
    shown = show(apple_and_orange())
    forward = ["n5", "n6", "n7", "n8"]
    order = shown.run("steps.map(step => [step.kind, step.place?.key ?? ''])")
    assert [key for kind, key in order if kind == "forward"] == forward
    assert [key for kind, key in order if kind == "backward"] == forward[::-1]
    assert shown.run("steps.findIndex(step => step.kind === 'seed')") == 5


def test_a_changed_number_is_felt_everywhere(show):
    shown = show(apple())
    shown.press("End")
    shown.fill("#field-n0", "120")
    assert seen(shown, "value", "n3") == str(120 * 2)
    assert seen(shown, "value", "n4") == str(120 * 2 * 1.1)
    assert seen(shown, "gradient", "n1-n3-1") == str(1.1 * 120)
    assert seen(shown, "gradient", "n2-n4-1") == "240"
    shown.fill("#field-n2", "1.08")
    shown.fill("#field-n0", "99.5")
    assert seen(shown, "value", "n4") == str(99.5 * 2 * 1.08)
    assert seen(shown, "gradient", "n2-n4-1") == str(99.5 * 2)
    shown.run("goTo(1)")
    assert equations(shown) == ["apple_total = apple × apple_num = 99.5 × 2 = 199.0"]
    shown.click("#put-back")
    shown.press("End")
    assert seen(shown, "value", "n4") == "220.00000000000003"


def test_a_negative_number_is_put_in_with_brackets(show):
    shown = show(apple())
    shown.fill("#field-n1", "−3")
    shown.run("goTo(1)")
    assert equations(shown) == ["apple_total = apple × apple_num = 100 × (-3) = -300"]


@pytest.mark.parametrize(
    ("typed", "words"),
    [("", "Type a number."), ("two", "“two” is not a number."), ("1,5", "“1,5” is not a number.")],
)
def test_what_is_no_number_is_explained(show, typed, words):
    shown = show(apple())
    shown.press("End")
    shown.fill("#field-n0", typed)
    assert shown.text("#field-n0-error") == words
    assert seen(shown, "value", "n4") == "220.00000000000003"
    shown.fill("#field-n0", "1")
    assert shown.run("byId('field-n0-error').textContent") == ""


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [
        ("n2", "[1, 2, 3]", "The shape is (3,), but (4,) is wanted."),
        ("n1", "[[1, 2], [3]]", "The rows are not all of the same length."),
        ("n1", "[[1, 2], [3, 4", "This is not a list of numbers such as [[1, 2], [3, 4]]."),
        ("n2", '["1", 2, 3, 4]', "This is not a list of numbers such as [1, 2, 3]."),
        ("n3", "[0, 9]", "A label must be one of the classes 0 to 3, but one is 9."),
        ("n3", "[0, 0.5]", "Only whole numbers go in here."),
    ],
)
def test_what_is_no_such_array_is_explained(show, field, typed, words):
    shown = show(network())
    shown.fill(f"#field-{field}", typed)
    assert shown.text(f"#field-{field}-error") == words


def test_a_network_is_computed_again(show):
    shown = show(network())
    x = [[1.0, 0.5, -1.0], [0.0, 2.0, 3.0]]
    shown.fill("#field-n0", json.dumps(x))
    W, b, t = (np.asarray(p.value.numbers) for p in network().places[1:4])
    affine, loss = layers.Affine(W, b), layers.SoftmaxWithLoss()
    value = loss.forward(affine.forward(np.asarray(x)), t)
    affine.backward(loss.backward())
    found = shown.run(
        "[valueOf(model, model.places.get('n5')).text, model.now.shares.get('n1-n4-1').data]"
    )
    assert float(found[0]) == pytest.approx(float(value), rel=1e-14)
    assert found[1] == pytest.approx(affine.dW.ravel().tolist(), rel=1e-12)


def test_a_value_used_several_times_gathers_its_shares(show):
    shown = show(used_twice())
    gather = shown.run("steps.findIndex(step => step.kind === 'gather')")
    shown.run(f"goTo({gather - 1})")
    assert seen(shown, "total", "n0") is None
    shown.press("ArrowRight")
    assert "x is used 3 times" in shown.text("#story")
    assert equations(shown) == ["3.0 + 3.0 + 2 = 8.0"]
    assert seen(shown, "total", "n0") == "8.0"
    shown.fill("#field-n0", "5.0")
    assert equations(shown) == ["5.0 + 5.0 + 2 = 12.0"]
    assert seen(shown, "total", "n0") == "12.0"


def test_large_arrays_are_stepped_through_but_not_changed(show):
    shown = show(network(784, 10, 100))
    assert shown.text("#why-fixed") == (
        "The numbers cannot be changed here, because x has too many to show: float64 (100, 784)."
    )
    assert not shown.run("document.querySelector('#fields').children.length")
    for _ in range(shown.run("steps.length")):
        assert shown.text("#story h2")
        shown.press("ArrowRight")
    shown.run("goTo(steps.findIndex(step => step.kind === 'backward' && step.place.key === 'n4'))")
    assert equations(shown)[1] == "float64 (784, 100) · float64 (100, 10) = float64 (784, 10)"


def test_an_unknown_layer_is_stepped_through_but_not_computed(show):
    places = (given("n0", 2.0, "x", gradient=3.0), operation("n1", "Cube", 8.0, 1.0, name="z"))
    shown = show(scene(places, (edge("n0", "n1", 0, 3.0),)))
    assert "does not know how to compute Cube." in shown.text("#why-fixed")
    shown.press("ArrowRight")
    assert equations(shown) == ["z = Cube(x) = Cube(2.0) = 8.0"]


def test_numbers_that_the_page_computes_otherwise_are_left_alone(show):
    right = apple()
    wrong = (*right.places[:4], replace(right.places[4], value=right.places[0].value))
    shown = show(replace(right, places=wrong))
    assert "computes other ones than the graph did." in shown.text("#why-fixed")


def test_a_graph_without_derivatives_is_only_stepped_forward(show):
    places = (given("n0", 2, "x"), operation("n1", "NegLayer", -2, None))
    shown = show(scene(places, (edge("n0", "n1", 0, None),)))
    shown.press("End")
    assert shown.text("#progress-text") == "Step 1 of 1: forward"
    assert not shown.run("byId('modes').checkVisibility()")


def test_a_graph_that_kept_only_the_derivatives_of_its_edges_is_stepped_through(show):
    for whole in (apple(), used_twice()):
        places = (*(replace(place, gradient=None) for place in whole.places[:-1]), whole.places[-1])
        shown = show(replace(whole, places=places))
        for _ in range(shown.run("steps.length")):
            shown.press("ArrowRight")
        assert shown.text("#story h2") == "Done"


def test_the_exercise_asks_for_each_derivative(show):
    shown = show(apple())
    shown.click('[data-set-mode="exercise"]')
    assert shown.text("#score") == "0 of 4 right"
    assert seen(shown, "gradient", "n3-n4-0") == "?"
    assert seen(shown, "value", "n4") == "220.00000000000003"
    shown.fill("#answer-n3-n4-0", "7")
    shown.press("Enter")
    assert shown.text("#answer-n3-n4-0-reply") == "Not right yet."
    assert seen(shown, "gradient", "n3-n4-0") == "?"
    shown.fill("#answer-n3-n4-0", "1.1")
    shown.press("Enter")
    assert "Right: 1.1" in shown.text("#answer-n3-n4-0-reply")
    assert seen(shown, "gradient", "n3-n4-0") == "1.1"
    assert shown.text("#score") == "1 of 4 right"
    assert shown.run("document.activeElement.id") == "answer-n2-n4-1"
    assert lit(shown) == {"n2-n4-1", "n4"}
    shown.click('#drawing [data-gradient="n0-n3-0"]')
    assert shown.run("document.activeElement.id") == "answer-n0-n3-0"


def test_the_exercise_gives_a_hint_and_shows_what_is_right(show):
    shown = show(apple())
    shown.run("setMode('exercise')")
    shown.run("document.querySelectorAll('[data-question=\"n0-n3-0\"] button')[1].click()")
    assert shown.text("#answer-n0-n3-0-reply") == (
        "∂z/∂x = y; d is the derivative behind ×: find it first."
    )
    shown.run("document.querySelectorAll('[data-question=\"n0-n3-0\"] button')[2].click()")
    assert seen(shown, "gradient", "n0-n3-0") == "2.2"
    assert shown.text("#score") == "0 of 4 right"
    shown.run("show(exercise.questions[0])")
    shown.run("document.querySelectorAll('[data-question=\"n1-n3-1\"] button')[1].click()")
    assert shown.text("#answer-n1-n3-1-reply") == "∂z/∂y = x; d = 1.1 comes from behind."
    shown.click("#again")
    assert seen(shown, "gradient", "n0-n3-0") == "?"


@pytest.mark.parametrize(
    ("typed", "right", "agree"),
    [
        (110, 110.00000000000001, True),
        (0.333, 1 / 3, True),
        (0.33, 1 / 3, False),
        (715, 715.0000000000001, True),
        (714, 715.0000000000001, False),
        (0, 0, True),
        (1e-9, 0, False),
        (-2.2, 2.2, False),
    ],
)
def test_three_digits_are_enough(show, typed, right, agree):
    assert show(apple()).run(f"agreeToThreeDigits({typed}, {right})") is agree


def test_a_changed_number_asks_the_exercise_anew(show):
    shown = show(apple_and_orange())
    shown.run("setMode('exercise')")
    shown.fill("#answer-n7-n8-0", "1.1")
    shown.press("Enter")
    shown.fill("#field-n4", "1.2")
    assert shown.text("#score") == "0 of 8 right"
    assert shown.text("#questions label") == "from × back to the result 650 of +"
    shown.fill("#answer-n7-n8-0", "1.1")
    shown.press("Enter")
    assert shown.text("#answer-n7-n8-0-reply") == "Not right yet."
    shown.fill("#answer-n7-n8-0", "1.20")
    shown.press("Enter")
    assert shown.text("#score") == "1 of 8 right"


def test_an_array_is_answered_as_a_list(show):
    shown = show(network())
    shown.run("setMode('exercise')")
    answer = network().places[2].gradient.numbers
    shown.fill("#answer-n2-n4-2", json.dumps([round(one, 6) for one in answer]))
    shown.press("Enter")
    assert shown.text("#score") == "1 of 2 right"


def test_no_long_array_is_asked_for(show):
    shown = show(network(784, 10, 100))
    shown.run("setMode('exercise')")
    assert shown.text("#no-questions") == "The arrays of this graph are too large for an exercise."
    assert seen(shown, "gradient", "n4-n5-0") == "float64 (100, 10)"


def test_a_name_that_looks_like_html_is_only_text(show):
    name = "</script><script>alert(1)</script><!--<b>\u2028&amp;{{style}}"
    shown = show(apple(name))
    shown.press("ArrowRight")
    assert name.partition("\u2028")[0] in shown.text("#story")
    assert shown.run("document.scripts.length") == 8
    assert shown.run("document.querySelector('#story b, #fields b, #drawing b')") is None


def test_what_is_put_into_the_page_from_outside_does_not_run(browser, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(page(apple()), "utf-8")
    with Page(browser) as shown:
        shown.open(file)
        shown.run(
            """(() => {
                const script = document.createElement("script");
                script.textContent = "window.found = true";
                document.body.append(script);
                document.body.append(Object.assign(new Image(), {src: "https://example.org/"}));
            })()"""
        )
        assert shown.run("window.found ?? false") is False
        assert len(shown.complaints) == 2
        assert all("Content Security Policy" in words for words in shown.complaints)


def test_the_page_works_in_a_frame(browser, tmp_path):
    written = json.dumps(page(apple())).replace("<", "\\u003c")
    file = tmp_path / "outer.html"
    file.write_text(f"<iframe></iframe><script>frames[0].frameElement.srcdoc = {written}</script>")
    with Page(browser) as outer:
        outer.open(file)
        outer.run("frames[0].document.getElementById('next').click()")
        words = outer.run("frames[0].document.getElementById('progress-text').textContent")
        assert words == "Step 1 of 6: forward"
        assert outer.complaints == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(show, width, dark):
    for drawn in (apple_and_orange(), network()):
        shown = show(drawn, width=width, dark=dark)
        for index in range(shown.run("steps.length")):
            shown.run(f"goTo({index})")
            assert shown.run("document.documentElement.scrollWidth") <= width
        shown.run("setMode('exercise')")
        assert shown.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    "number",
    [
        *(220.00000000000003, 0.1, 1e16, 1e15, 123456789012345680.0, 1e-4, 1e-5, 5e-324, 1.5e-7),
        *(-0.0, 2.0, -3.25, 1e22, 1.7976931348623157e308, float("inf"), float("nan")),
    ],
)
def test_numbers_are_written_as_python_writes_them(show, number):
    words = repr(number).replace("inf", "Infinity").replace("nan", "NaN")
    assert show(apple()).run(f"writeNumber({words})") == repr(number)


def softmax_loss(x, t):
    return layers.SoftmaxWithLoss().forward(x, t)


def identity_loss(x, t):
    return layers.IdentityWithLoss().forward(x, t)


def affine(x, W, b):
    return layers.Affine(W, b).forward(x)


def array(*shape, low=-1.0, high=1.0):
    draw = np.random.default_rng(sum(shape) + len(shape))
    return draw.uniform(low, high, shape)


A23, B23, C3, M34 = array(2, 3), array(3, 2).T, array(3), array(3, 4)
AT, T23 = array(2, 3, low=0.5), array(2, 3, high=0.9)
STACK = array(2, 2, 3)
LAYERS = [
    ("AddLayer", {}, np.add, (A23, C3)),
    ("SubLayer", {}, np.subtract, (C3, A23)),
    ("MulLayer", {}, np.multiply, (A23, array(2, 1))),
    ("DivLayer", {}, np.divide, (C3, AT)),
    ("PowLayer", {}, np.power, (AT, C3)),
    ("NegLayer", {}, np.negative, (A23,)),
    ("MatMul", {}, np.matmul, (A23, M34)),
    ("MatMul", {}, np.matmul, (C3, M34)),
    ("MatMul", {}, np.matmul, (A23, C3)),
    ("MatMul", {}, np.matmul, (C3, array(3) + 1)),
    ("MatMul", {}, np.matmul, (STACK, M34)),
    ("MatMul", {}, np.matmul, (STACK, array(2, 3, 2))),
    ("Exp", {}, np.exp, (A23,)),
    ("Log", {}, np.log, (AT,)),
    ("Abs", {}, np.abs, (A23,)),
    ("Tanh", {}, np.tanh, (A23,)),
    ("Maximum", {}, np.maximum, (A23, C3)),
    ("Minimum", {}, np.minimum, (A23, C3)),
    ("Sum", {"axis": None, "keepdims": False}, np.sum, (A23,)),
    ("Sum", {"axis": 0, "keepdims": True}, lambda x: x.sum(0, keepdims=True), (A23,)),
    ("Sum", {"axis": (0, -1), "keepdims": False}, lambda x: x.sum((0, -1)), (STACK,)),
    ("Mean", {"axis": -1, "keepdims": False}, lambda x: x.mean(-1), (A23,)),
    ("Max", {"axis": 1, "keepdims": False}, lambda x: x.max(1), (A23,)),
    ("Min", {"axis": None, "keepdims": True}, lambda x: x.min(keepdims=True), (A23,)),
    ("Reshape", {"shape": (3, -1)}, lambda x: x.reshape(3, -1), (A23,)),
    ("Transpose", {"axes": None}, np.transpose, (STACK,)),
    ("Transpose", {"axes": (1, -1, 0)}, lambda x: x.transpose(1, -1, 0), (STACK,)),
    ("Relu", {}, lambda x: layers.Relu().forward(x), (A23,)),
    ("Sigmoid", {}, lambda x: layers.Sigmoid().forward(x), (A23 * 9,)),
    ("Tanh", {}, lambda x: layers.Tanh().forward(x), (C3,)),
    ("Affine", {}, affine, (A23, M34, array(4))),
    ("Affine", {}, affine, (C3, M34, array(4))),
    ("Affine", {}, affine, (STACK, array(6, 4), array(4))),
    ("SoftmaxWithLoss", {}, softmax_loss, (M34 * 9, np.asarray([0, 3, 1]))),
    ("SoftmaxWithLoss", {}, softmax_loss, (M34, np.eye(4)[:3])),
    ("SoftmaxWithLoss", {}, softmax_loss, (C3, np.asarray(2))),
    ("IdentityWithLoss", {}, identity_loss, (A23, B23)),
    ("IdentityWithLoss", {}, identity_loss, (C3, C3 + 1)),
]


def in_page(shown, layer, settings, inputs, d):
    """Run a layer forward and backward in JavaScript."""
    given = [{"shape": np.shape(x), "data": np.ravel(x).tolist()} for x in (d, *inputs)]
    return shown.run(
        f"""(() => {{
            const [d, ...inputs] = {json.dumps(given)};
            const settings = {json.dumps(settings)};
            const z = layers.{layer}.forward(inputs, settings);
            return [z, ...layers.{layer}.backward(d, inputs, z, settings)];
        }})()"""
    )


def slope(function, inputs, slot, d):
    """Give the derivative of sum(d * function) by central differences."""
    found = np.zeros(inputs[slot].shape)
    for index in np.ndindex(found.shape):
        sides = []
        for step in (1e-6, -1e-6):
            moved = [np.array(x) for x in inputs]
            moved[slot][index] += step
            sides.append(np.sum(d * function(*moved)))
        found[index] = (sides[0] - sides[1]) / 2e-6
    return found


@pytest.fixture(scope="module")
def calculus(browser, tmp_path_factory):
    file = tmp_path_factory.mktemp("calculus") / "page.html"
    file.write_text(page(apple()), "utf-8")
    with Page(browser) as shown:
        shown.open(file)
        yield shown


@pytest.mark.parametrize(("layer", "settings", "function", "inputs"), LAYERS)
def test_a_layer_is_the_same_in_the_page(calculus, layer, settings, function, inputs):
    wanted = np.asarray(function(*inputs))
    d = array(*wanted.shape) if wanted.shape else np.asarray(0.7)
    z, *shares = in_page(calculus, layer, settings, inputs, d)
    assert tuple(z["shape"]) == wanted.shape
    np.testing.assert_allclose(z["data"], wanted.ravel(), rtol=1e-12, atol=1e-15)
    for slot, share in enumerate(shares):
        if share is not None:
            assert tuple(share["shape"]) == np.shape(inputs[slot])
            found = np.reshape(share["data"], share["shape"])
            np.testing.assert_allclose(
                found, slope(function, inputs, slot, d), rtol=2e-8, atol=2e-9
            )


@pytest.mark.parametrize(
    ("layer", "inputs", "d", "wanted"),
    [
        ("Maximum", ([1.0, 2.0], [1.0, 3.0]), [1.0, 1.0], ([0.5, 0], [0.5, 1])),
        ("Minimum", ([1.0, 2.0], [1.0, 3.0]), [1.0, 1.0], ([0.5, 1], [0.5, 0])),
        ("Max", ([2.0, 5.0, 5.0],), 1.0, ([0, 0.5, 0.5],)),
        ("Min", ([2.0, 2.0, 5.0, 2.0],), 3.0, ([1, 1, 0, 1],)),
        ("Relu", ([0.0, -0.0],), [1.0, 1.0], ([0, 0],)),
        ("Abs", ([0.0, -2.0],), [1.0, 1.0], ([0, -1],)),
    ],
)
def test_at_a_tie_and_at_a_kink(calculus, layer, inputs, d, wanted):
    _, *shares = in_page(calculus, layer, {"axis": None}, inputs, d)
    assert [share["data"] for share in shares] == [list(one) for one in wanted]


def test_every_layer_of_the_page_is_compared(calculus):
    assert set(calculus.run("Object.keys(layers)")) == {row[0] for row in LAYERS}
