import math
import re
import sys
import time
from itertools import combinations, pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koubai.errors import KoubaiError
from koubai.graph.picture.layout import lay_out
from koubai.graph.picture.lettering import clean, text_width
from koubai.graph.picture.picture import Picture
from koubai.graph.picture.scene import Amount, Edge, Place, Scene

TIMES = "\N{MULTIPLICATION SIGN}"
BIG = "‖·‖ 280.1, 0 … 1"


def amount(number):
    if number is None or isinstance(number, Amount):
        return number
    return Amount(str(number), numbers=number if isinstance(number, float) else None)


def value(key, number, gradient=None, name="", kind="input"):
    return Place(key, kind, "", amount(number), name=name, gradient=amount(gradient))


def operation(key, symbol, number, gradient=None, name="", kind="operation"):
    return Place(
        key, kind, symbol, amount(number), f"{symbol}Layer", name, amount(gradient), {}, "z = …"
    )


def edges(*rows):
    slots = {}
    found = []
    for source, target, gradient in rows:
        slot = slots[target] = slots.get(target, -1) + 1
        found.append(Edge(source, target, slot, amount(gradient), "∂z/∂x = y"))
    return tuple(found)


def scene(places, rows, output=None, title="A graph"):
    return Scene(
        tuple(places), edges(*rows), output or places[-1].key, title, f"{title} in a sentence."
    )


def apple():
    return scene(
        [
            value("n0", 100, 2.2, "apple"),
            value("n1", 2, 110.00000000000001, "apple_num"),
            operation("n2", TIMES, 200, 1.1, "apple_price"),
            value("n3", 1.1, 200, "tax"),
            operation("n4", TIMES, 220.00000000000003, 1, "price"),
        ],
        [("n0", "n2", 2.2), ("n1", "n2", 110.00000000000001), ("n2", "n4", 1.1), ("n3", "n4", 200)],
        title="Buying apples",
    )


def apple_and_orange():
    return scene(
        [
            value("n0", 100, 2.2, "りんご"),
            value("n1", 2, 110.00000000000001, "りんごの個数"),
            operation("n2", TIMES, 200, 1.1),
            value("n3", 150, 3.3000000000000003, "みかん"),
            value("n4", 3, 165, "みかんの個数"),
            operation("n5", TIMES, 450, 1.1),
            operation("n6", "+", 650, 1.1),
            value("n7", 1.1, 650, "消費税"),
            operation("n8", TIMES, 715.0000000000001, 1, "支払金額"),
        ],
        [
            ("n0", "n2", 2.2),
            ("n1", "n2", 110.00000000000001),
            ("n3", "n5", 3.3000000000000003),
            ("n4", "n5", 165),
            ("n2", "n6", 1.1),
            ("n5", "n6", 1.1),
            ("n6", "n8", 1.1),
            ("n7", "n8", 650),
        ],
        title="Apples and oranges",
    )


def sum_of_products():
    return scene(
        [
            value("a", 3, 2, "a"),
            value("b", 2, 3, "b"),
            value("c", 4, 5, "c"),
            value("d", 5, 4, "d"),
            operation("ab", TIMES, 6, 1),
            operation("cd", TIMES, 20, 1),
            operation("y", "+", 26, 1, "y"),
        ],
        [
            ("a", "ab", 2),
            ("b", "ab", 3),
            ("c", "cd", 5),
            ("d", "cd", 4),
            ("ab", "y", 1),
            ("cd", "y", 1),
        ],
    )


def used_twice():
    return scene(
        [
            value("x", 3, 14, "x"),
            operation("s", TIMES, 9, 2),
            value("c", 2, kind="constant"),
            operation("m", TIMES, 18, 1),
            value("d", 2, kind="constant"),
            operation("n", TIMES, 6, 1),
            operation("y", "+", 24, 1, "y"),
        ],
        [
            ("x", "s", 6),
            ("x", "s", 6),
            ("c", "m", None),
            ("s", "m", 2),
            ("d", "n", None),
            ("x", "n", 2),
            ("m", "y", 1),
            ("n", "y", 1),
        ],
    )


def softmax():
    return scene(
        [
            value("x", "[0.3, 2.9, 4]", "[-0.01, …]", "a"),
            operation("e", "exp", "[1.3, 18.2, 54.6]", "[0.01, …]", "exp_a"),
            operation("s", "Σ", 74.1, -0.001),
            operation("d", "/", "[0.02, 0.25, 0.74]", "[1, 0, 0]", "y"),
        ],
        [
            ("x", "e", "[-0.01, …]"),
            ("e", "s", "-0.001"),
            ("e", "d", "[0.01, 0, 0]"),
            ("s", "d", -0.001),
        ],
    )


def large(shape, dtype="float32"):
    return Amount(f"{dtype} {shape}", BIG, shape, dtype)


def two_layer_net():
    hidden, out = large((100, 50)), large((100, 10))
    parameters = {"W1": (784, 50), "b1": (50,), "W2": (50, 10), "b2": (10,)}
    places = [
        value("x", large((100, 784)), large((100, 784)), "x"),
        value("t", large((100,), "int64"), name="t", kind="constant"),
    ]
    places += [value(k, large(s), large(s), k, "parameter") for k, s in parameters.items()]
    places += [
        operation("l1", "Affine(784, 50)", hidden, hidden, kind="layer"),
        operation("l2", "Relu", hidden, hidden, kind="layer"),
        operation("l3", "Affine(50, 10)", out, out, kind="layer"),
        operation("l4", "SoftmaxWithLoss", 2.3025, 1, "loss", kind="layer"),
    ]
    return scene(
        places,
        [
            ("x", "l1", large((100, 784))),
            ("W1", "l1", large((784, 50))),
            ("b1", "l1", large((50,))),
            ("l1", "l2", hidden),
            ("l2", "l3", hidden),
            ("W2", "l3", large((50, 10))),
            ("b2", "l3", large((10,))),
            ("l3", "l4", out),
            ("t", "l4", None),
        ],
        title="TwoLayerNet",
    )


def chain(length=60):
    places, rows = [value("x", 1.0, 1.0, "x")], []
    for number in range(length):
        before = places[-1].key if number == 0 else f"p{number - 1}"
        places.append(value(f"c{number}", 1.01, kind="constant"))
        places.append(operation(f"p{number}", TIMES if number % 3 else "+", 1.01**number, 0.5))
        rows += [(before, f"p{number}", 0.25), (f"c{number}", f"p{number}", None)]
    return scene(places, rows)


def wide(count):
    places = [value(f"x{number}", number, 1, f"x{number}") for number in range(count)]
    rows = [(place.key, "y", 0.1) for place in places]
    return scene([*places, operation("y", "max", count - 1, 1, "y")], rows)


NASTY = "<script>alert(\"1\")</script> & 'q' $x^2$ \x00\x1b]|`#end;\n%% \u202ertl"


def nasty():
    return scene(
        [
            value("n0", 1, 2, NASTY),
            value("n1", NASTY, NASTY, "1. item"),
            operation("n2", "<b>x</b>&\"'", NASTY, 1, NASTY),
        ],
        [("n0", "n2", NASTY), ("n1", "n2", NASTY)],
        title=NASTY,
    )


SCENES = {
    "apple": apple,
    "apple and orange": apple_and_orange,
    "sum of products": sum_of_products,
    "used twice": used_twice,
    "softmax": softmax,
    "two layers": two_layer_net,
    "chain": chain,
    "wide": lambda: wide(30),
    "nasty": nasty,
}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(params=SCENES.values(), ids=SCENES.keys())
def drawn(request):
    return request.param()


def overlap(one, other):
    (left, top, right, bottom), (start, high, end, low) = one, other
    return min(right, end) - max(left, start) > 0.01 and min(bottom, low) - max(top, high) > 0.01


def inside(one, other):
    (left, top, right, bottom), (start, high, end, low) = one, other
    return start <= left and right <= end and high <= top and bottom <= low


def meets(start, end, box):
    # Cuts the line down to what lies between the sides of the box, one pair after the other.
    left, top, right, bottom = box
    first, last = 0.0, 1.0
    for low, high, at, step in (
        (left, right, start[0], end[0] - start[0]),
        (top, bottom, start[1], end[1] - start[1]),
    ):
        if abs(step) < 1e-9:
            if not low < at < high:
                return False
            continue
        one, other = sorted(((low - at) / step, (high - at) / step))
        first, last = max(first, one), min(last, other)
    return last - first > 1e-6


def crossed(path, box):
    return any(meets(*ends, box) for ends in pairwise(path.points))


def foreign(path, shape):
    # A line that ends at a shape is its own; circles keep the corners of their box free.
    left, top, right, bottom = shape.extent
    return not any(
        left - 1 <= x <= right + 1 and top - 1 <= y <= bottom + 1
        for x, y in (path.points[0], path.points[-1])
    )


def faults(drawing):
    """Give whatever lies on something else."""
    texts = [text for figure in drawing.figures for text in figure.texts]
    shapes = [shape for figure in drawing.figures for shape in figure.shapes]
    paths = [*drawing.paths, *(path for figure in drawing.figures for path in figure.paths)]
    boxes = [(text, shape) for text in texts for shape in shapes]
    page = (0, 0, drawing.width, drawing.height)
    return [
        *(pair for pair in combinations(texts, 2) if overlap(pair[0].extent, pair[1].extent)),
        *(pair for pair in combinations(shapes, 2) if overlap(pair[0].extent, pair[1].extent)),
        *(
            (t, s)
            for t, s in boxes
            if overlap(t.extent, s.extent) and not inside(t.extent, s.extent)
        ),
        *((path, text) for path in paths for text in texts if crossed(path, text.extent)),
        *((p, s) for p in paths for s in shapes if foreign(p, s) and crossed(p, s.extent)),
        *(part for part in (*texts, *shapes) if not inside(part.extent, page)),
    ]


def words(picture):
    return [element.text for element in ET.fromstring(picture.svg).iter(f"{SVG}text")]


@st.composite
def graphs(draw):
    names = st.sampled_from(["", "", "x", "a long name", "りんご", "WWWWWWWW"])
    amounts = st.sampled_from([1, 220.00000000000003, large((100, 784)), None])
    count = draw(st.integers(1, 9))
    places, rows = [], []
    for number in range(count):
        kinds = ["input", "constant", "parameter"]
        kinds += ["operation", "operation", "layer"] if number else []
        kind = draw(st.sampled_from(kinds))
        key, amount_of = f"n{number}", draw(amounts) or 0
        if kind in {"operation", "layer"}:
            symbol = draw(st.sampled_from(["+", "where", "Affine(784, 50)"]))
            places.append(operation(key, symbol, amount_of, draw(amounts), draw(names), kind))
            sources = st.lists(st.integers(0, number - 1), min_size=1, max_size=3)
            rows += [(f"n{source}", key, draw(amounts)) for source in draw(sources)]
        else:
            places.append(value(key, amount_of, draw(amounts), draw(names), kind))
    return scene(places, rows)


def test_nothing_lies_on_anything_else(drawn):
    assert not faults(lay_out(drawn))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_nothing_lies_on_anything_else_in_any_graph(drawn):
    assert not faults(lay_out(drawn))
    assert not faults(lay_out(drawn, widest=300))


def test_every_line_runs_from_left_to_right_in_a_row(drawn):
    for path in lay_out(drawn, widest=math.inf).paths:
        across = [x for x, _ in path.points]
        assert across == sorted(across)


def test_the_first_row_of_the_book_is_straight():
    paths = lay_out(apple()).paths
    assert [len(path.points) for path in paths] == [2, 3, 2, 3, 2]
    assert len({y for path in paths[::2] for _, y in path.points}) == 1


def test_the_sum_stands_between_its_products():
    shapes = [s for f in lay_out(sum_of_products()).figures for s in f.shapes]
    first, second, total = sorted(shapes, key=lambda shape: (shape.x, shape.y))
    assert total.y == (first.y + second.y) / 2


def test_the_row_of_a_network_is_straight_with_its_parameters_beside_it():
    drawing = lay_out(two_layer_net())
    layers = [s for f in drawing.figures for s in f.shapes if s.role == "layer"]
    parameters = [s for f in drawing.figures for s in f.shapes if s.role == "parameter"]
    assert len({layer.y for layer in layers}) == 1
    assert sorted(p.y < layers[0].y for p in parameters) == [False, False, True, True]
    assert {p.x for p in parameters} == {layers[0].x, layers[2].x}


def test_the_book_is_told_in_its_numbers():
    told = words(Picture(apple()))
    assert {"apple", "100", "apple_price = 200", "220.00000000000003", "price"} <= set(told)
    assert {"← 2.2", "← 110.00000000000001", "← 200", "← 1.1", "← 1"} <= set(told)


def test_a_value_used_twice_tells_its_shares_and_their_sum():
    told = words(Picture(used_twice()))
    assert [text for text in told if "14" in text] == ["total ← 14"]
    assert told.count("← 6") == 2


def test_a_parameter_that_is_shared_stands_at_each_layer():
    places = [
        value("x", 1, 6, "x"),
        value("W", 2, 5, "W", "parameter"),
        operation("l1", "Affine", 2, 3, kind="layer"),
        operation("l2", "Affine", 4, 1, kind="layer"),
    ]
    rows = [("x", "l1", 6), ("W", "l1", 3), ("l1", "l2", 3), ("W", "l2", 2)]
    told = words(Picture(scene(places, rows)))
    assert told.count("W") == 2
    assert {"← 3", "← 2"} <= set(told)
    assert told.count("total ← 5") == 1


def test_a_constant_has_no_derivative():
    drawing = lay_out(
        scene([value("c", 2, kind="constant"), operation("n", "exp", 7.4, 1)], [("c", "n", None)])
    )
    roles = [text.role for figure in drawing.figures for text in figure.texts]
    assert roles.count("derivative") == 1
    assert "value quiet" in roles


def test_an_empty_graph_and_a_single_value_can_be_drawn():
    ET.fromstring(Picture(Scene((), (), "", "Nothing", "")).svg)
    assert words(Picture(scene([value("x", 3, 1, "x")], []))) == ["x", "3", "← 1"]


def test_svg_is_xml_with_a_title_and_a_description(drawn):
    root = ET.fromstring(Picture(drawn).svg)
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert title.text == clean(drawn.title)
    assert description.text == clean(drawn.description)


def test_svg_loads_nothing_and_runs_nothing(drawn):
    svg = Picture(drawn).svg.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"http|url\(|@import|href|<script|<foreignObject|\son\w+=", svg)


def test_two_pictures_on_a_page_keep_apart():
    one, other = Picture(apple()).svg, Picture(softmax()).svg
    ids = re.findall(r'\bid="([^"]+)"', one + other)
    assert len(ids) == len(set(ids)) == 6
    style = re.search("<style>(.*)</style>", one)[1].split("{", 1)[0]
    assert style.startswith(f"#{ids[0]} ")
    rules = re.findall(r"[{}]\s*([^{}@]+?)\s*{", re.search("<style>(.*)</style>", one)[1])
    selectors = [part for rule in rules for part in rule.split(", ")]
    assert all(selector.startswith(f"#{ids[0]} ") for selector in selectors)


def test_the_same_scene_is_always_the_same_picture(drawn):
    one, other = Picture(drawn), Picture(drawn)
    assert one.svg == other.svg
    assert one.dot == other.dot
    assert one.mermaid == other.mermaid


def test_nasty_names_are_text_and_nothing_else():
    picture = Picture(nasty())
    assert "<script" not in picture.svg + picture.dot + picture.mermaid
    assert picture.markdown.startswith("# \\<script\\>")
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e]", picture.svg + picture.dot)
    assert any(text.startswith('<script>alert("1")') for text in words(picture))


def test_dot_has_every_place_and_edge():
    dot = Picture(apple()).dot
    assert "label=<Buying apples>" in dot
    assert '"n0" [shape=plaintext, fontcolor="#1a1a1a", label=<apple>];' in dot
    assert '"n0" -> "n2" [label=<100<BR/><FONT COLOR="#b34700"><I>← 2.2</I></FONT>>' in dot
    assert dot.count(" -> ") == 5


def test_mermaid_has_every_place_and_edge():
    mermaid = Picture(apple()).mermaid
    assert mermaid.startswith("flowchart LR\n")
    assert '  n0_(["apple"])' in mermaid
    assert '  n0_ -->|"100<br/>← 2.2"| n2_' in mermaid
    assert mermaid.count(" -->") == 5


def test_a_value_used_twice_tells_the_sum_of_its_shares_in_every_language():
    picture = Picture(used_twice())
    assert "total ← 14" in picture.dot
    assert '(["x<br/>total ← 14"])' in picture.mermaid


def test_mermaid_reads_no_markdown_in_names():
    mermaid = Picture(nasty()).mermaid
    assert '(["1#46; item"])' in mermaid
    inside_quotes = re.findall(r'"([^"]*)"', mermaid)
    assert not [
        text for text in inside_quotes if re.search("[`*|\\\\<>]", text.replace("<br/>", ""))
    ]


@pytest.mark.parametrize("suffix", [".svg", ".dot", ".md", ".png", ".SVG"])
def test_a_picture_is_saved_by_its_suffix(drawn, suffix, tmp_path):
    path = Picture(drawn).save(tmp_path / f"picture{suffix}")
    start = {
        ".svg": b"<svg ",
        ".dot": b"digraph ",
        ".md": b"# ",
        ".png": b"\x89PNG\r\n\x1a\n",
    }[suffix.lower()]
    assert path == tmp_path / f"picture{suffix}"
    assert path.read_bytes().startswith(start)


def test_a_page_is_saved_too(tmp_path):
    path = Picture(apple()).save(str(tmp_path / "picture.html"))
    assert "<html" in path.read_text(encoding="utf-8")


def test_markdown_holds_the_flowchart_below_its_title():
    picture = Picture(apple())
    assert picture.markdown == f"# Buying apples\n\n```mermaid\n{picture.mermaid}```\n"


@pytest.mark.parametrize("name", ["picture.pdf", "picture"])
def test_another_suffix_is_refused_with_those_that_are_known(name, tmp_path):
    with pytest.raises(KoubaiError, match=r"\.svg, \.png, \.html, \.dot, \.md"):
        Picture(apple()).save(tmp_path / name)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(KoubaiError, match=r'pip install "koubai\[plot\]"'):
        _ = Picture(apple()).png


def test_a_large_png_has_fewer_pixels_rather_than_fill_the_memory(monkeypatch):
    monkeypatch.setattr("koubai.graph.picture.png.MOST_PIXELS", 50_000)
    png = Picture(apple()).png
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    assert 45_000 < width * height < 50_500


def test_jupyter_shows_the_svg():
    picture = Picture(apple())
    assert picture._repr_svg_() == picture.svg


def test_wide_letters_take_more_room():
    assert text_width("りんご", 15) > text_width("abc", 15) > text_width("ijl", 15)
    assert text_width("e\u0301", 15) == text_width("e", 15)


def test_a_long_graph_is_laid_out_soon():
    start = time.perf_counter()
    drawing = lay_out(chain(250))
    assert time.perf_counter() - start < 5
    assert len(drawing.paths) == 501
