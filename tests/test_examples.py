"""The examples print what the book's notebooks print, on every backend."""

import contextlib
import itertools
import re
import runpy
import sys
from pathlib import Path

import pytest

from koubai.backend.selection import backend_status

FOLDER = Path(__file__).parents[1] / "examples" / "ch05"
SPECS = ["numpy", "cupy", "torch", "jax", "array_api_strict:device1"]

APPLES = {"price": 220.00000000000003, "dapple": 2.2, "dapple_num": 110.00000000000001, "dtax": 200}
FRUIT = {
    "price": 715.0000000000001,
    "dapple": 2.2,
    "dapple_num": 110.00000000000001,
    "dorange": 3.3000000000000003,
    "dorange_num": 165.0,
    "dtax": 650,
}
ACTIVATIONS = """\
Relu()
forward
[[1. 0.]
 [0. 3.]]
backward
[[1. 0.]
 [0. 1.]]
Sigmoid()
forward
[[0.73105858 0.37754067]
 [0.11920292 0.95257413]]
backward
[[0.19661193 0.23500371]
 [0.10499359 0.04517666]]
"""


@pytest.fixture(params=SPECS)
def spec(request):
    """Give one device of each backend, as ``--device`` takes it."""
    name = request.param.partition(":")[0]
    chosen = request.config.getoption("--backend")
    if chosen and name not in chosen.split(","):
        pytest.skip(f"not among --backend {chosen}")
    statuses = backend_status(name)
    if not statuses[0].works:
        pytest.skip(statuses[0].reason)
    return request.param


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run an example as its own program would; give what it prints."""

    def run_example(name, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with contextlib.suppress(SystemExit):
            runpy.run_path(str(FOLDER / name), run_name="__main__")
        return capsys.readouterr().out

    return run_example


def numbers(printed):
    return {name: float(value) for name, value in re.findall(r"(\w+): (\S+)", printed)}


def test_every_example_has_a_test():
    tested = set(re.findall(r'run\(\s*"(\w+\.py)"', Path(__file__).read_text(encoding="utf-8")))
    assert tested == {path.name for path in FOLDER.glob("*.py")}


def test_buy_apple(run):
    printed = run("buy_apple.py")
    assert printed.splitlines()[0] == "price: 220.00000000000003"
    assert printed.splitlines()[3] == "dtax: 200"
    assert numbers(printed) == APPLES


def test_buy_apple_on_a_device(run, spec):
    assert numbers(run("buy_apple.py", "--device", spec)) == APPLES


def test_buy_apple_orange(run):
    assert numbers(run("buy_apple_orange.py")) == FRUIT


def test_buy_apple_orange_on_a_device(run, spec):
    assert numbers(run("buy_apple_orange.py", "--device", spec)) == FRUIT


GRAPHS = {
    "two apples": {"price": 220.00000000000003, "apple": 2.2, "apple_num": 110.00000000000001},
    "two apples and three oranges": {"price": 715.0000000000001, "orange": 3.3000000000000003},
    "g = a b + c d": {"a": 2, "b": 3, "c": 5, "d": 4, "e": 1, "f": 1, "g": 1},
}


@pytest.mark.parametrize("graph", GRAPHS)
def test_computational_graph(run, graph):
    assert derivatives(run("computational_graph.py"), graph).items() >= GRAPHS[graph].items()


@pytest.mark.parametrize("graph", GRAPHS)
def test_computational_graph_on_a_device(run, spec, graph):
    printed = run("computational_graph.py", "--device", spec)
    assert derivatives(printed, graph).items() >= GRAPHS[graph].items()


def derivatives(printed, graph):
    """Give the last number of each line that belongs to a graph, by the name it begins with."""
    lines = printed.partition(f"{graph}\n")[2].splitlines()
    own = itertools.takewhile(lambda line: line.startswith("  "), lines)
    return {line.split(":")[0].strip(): float(line.split()[-1]) for line in own}


def test_draw_graphs_gives_the_pictures_of_the_documentation(run, tmp_path):
    printed = run("draw_graphs.py", "--format", "svg")
    drawn = {Path(line).name: tmp_path / line for line in printed.splitlines()}
    kept = {path.name: path for path in (FOLDER.parents[1] / "docs" / "pictures").glob("*.svg")}
    assert drawn.keys() == kept.keys()
    # The digits of large products depend on the machine; those of the small graphs do not.
    for name in ("two_apples.svg", "apples_and_oranges.svg", "two_products.svg"):
        assert drawn[name].read_text(encoding="utf-8") == kept[name].read_text(encoding="utf-8")


def test_draw_graphs_in_every_format(run, tmp_path):
    formats = [part for name in ("html", "png", "dot", "md") for part in ("--format", name)]
    printed = run("draw_graphs.py", "--folder", tmp_path / "there", *formats)
    assert len(printed.splitlines()) == 28
    assert all((tmp_path / line).stat().st_size > 100 for line in printed.splitlines())


def test_activation_layers(run, spec):
    assert run("activation_layers.py", "--device", spec) == ACTIVATIONS


def test_affine_softmax(run, spec):
    printed = run("affine_softmax.py", "--device", spec)
    assert "[[ 1.  2.  3.]\n [11. 12. 13.]]" in printed
    assert "db\n[5. 7. 9.]" in printed
    assert "y - t [[ 0.3 -0.8  0.5]]" in printed


def test_gradient_check_as_in_the_book(run):
    printed = run("gradient_check.py", "--device", "cpu")
    differences = {name: float(value) for name, value in re.findall(r"(\w\d): (\S+)", printed)}
    assert list(differences) == ["W1", "b1", "W2", "b2"]
    assert max(differences.values()) <= 1e-8
    assert "backpropagation is RIGHT" in printed
    assert "FAIL" not in printed


def test_gradient_check_of_a_small_network_on_a_device(run, spec):
    assert "is RIGHT" in run("gradient_check.py", "--device", spec, "--hidden", 2)


def test_training_for_one_epoch(run, spec, tmp_path):
    # array-api-strict is for proofs, not for speed: a few large batches are enough there.
    batch_size = 6000 if spec.startswith("array_api_strict") else 100
    options = ("--epochs", 1, "--batch-size", batch_size)
    printed = run("train_neuralnet.py", "--device", spec, *options)
    accuracy = float(re.fullmatch(r"test accuracy (0\.\d{4})", printed.splitlines()[-1])[1])
    assert accuracy > (0.90 if batch_size == 100 else 0.1)
    assert (tmp_path / "train_neuralnet.png").stat().st_size > 10_000


def test_training_takes_its_options(run, tmp_path):
    options = {"epochs": 2, "batch-size": 7000, "lr": 0.5, "hidden": 20, "seed": 3}
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    arguments += ["--dtype", "float64", "--plot", tmp_path / "curves.png"]
    printed = run("train_neuralnet.py", *arguments)
    assert "TwoLayerNet(Affine(784, 20)" in printed
    assert "float64 on numpy" in printed
    assert re.findall(r"^ +(\d+) +\d+ ", printed, re.MULTILINE) == ["1", "2"]  # epochs
    assert (tmp_path / "curves.png").exists()


def test_training_in_float64_on_a_library_that_has_it_switched_off(run):
    pytest.importorskip("jax", reason="the only library here with float64 switched off")
    options = ("--device", "jax", "--dtype", "float64", "--epochs", 1, "--batch-size", 20000)
    assert "float64 on jax:cpu" in run("train_neuralnet.py", *options)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [("--device", "nmupy", "Did you mean 'numpy'"), ("--dtype", "float31", "float31")],
)
def test_training_explains_what_it_cannot_do(monkeypatch, option, value, words):
    monkeypatch.setattr(sys, "argv", ["train_neuralnet.py", option, value])
    with pytest.raises(SystemExit, match=words):
        runpy.run_path(str(FOLDER / "train_neuralnet.py"), run_name="__main__")


def test_training_without_matplotlib_goes_on(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    printed = run("train_neuralnet.py", "--epochs", 1, "--batch-size", 20000)
    assert 'pip install "koubai[plot]"' in printed
    assert "test accuracy" in printed.splitlines()[-1]


def test_training_goes_on_from_a_checkpoint(run, tmp_path):
    options = ("--batch-size", 20000, "--checkpoint", tmp_path / "runs")
    run("train_neuralnet.py", *options, "--epochs", 1)
    resumed = run("train_neuralnet.py", *options, "--epochs", 2, "--resume")
    whole = run("train_neuralnet.py", "--batch-size", 20000, "--epochs", 2)
    assert resumed.splitlines()[-1] == whole.splitlines()[-1]


def test_compiled_step(run, spec):
    printed = run("compiled_step.py", "--device", spec, "--steps", 5, "--plan")
    losses = re.findall(r"microseconds a step, loss (\S+)", printed)
    assert losses[0] == losses[1]
    assert ("What each pass did" in printed) == spec.startswith(("numpy", "cupy", "torch"))


def test_backprop_vs_numerical(run, spec, tmp_path):
    printed = run("backprop_vs_numerical.py", "--device", spec)
    assert "41 parameters" in printed
    assert float(re.search(r"ratio: +(\S+)", printed)[1]) > 2
    assert float(re.search(r"difference of the losses: (\S+)", printed)[1]) < 1e-8
    first, last = map(float, re.search(r"first sample (\S+), last (\S+)", printed).groups())
    assert last < first / 10
    assert (tmp_path / "backprop_vs_numerical.png").exists()


def test_your_own_network(run, spec):
    if spec == "jax":
        pytest.skip("JAX's arrays cannot be written, and the example says so")
    steps = 50 if spec.startswith("array_api_strict") else 300
    printed = run("your_own_network.py", "--device", spec, "--steps", steps)
    assert max(float(d) for d in re.findall(r"[Wb]\d: (\S+)", printed)) < 1e-8
    if steps == 300:
        assert float(printed.split()[-1]) > 0.85


def test_your_own_network_says_why_not_on_jax(monkeypatch):
    pytest.importorskip("jax", reason="the only library here whose arrays cannot be written")
    monkeypatch.setattr(sys, "argv", ["your_own_network.py", "--device", "jax"])
    with pytest.raises(SystemExit, match=r"cannot be written; use koubai\.TwoLayerNet"):
        runpy.run_path(str(FOLDER / "your_own_network.py"), run_name="__main__")
