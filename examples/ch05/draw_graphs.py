"""Draw the book's graphs with the numbers on their edges (sections 5.1 to 5.6).

Each becomes an SVG, and a page (.html) on which one steps forward and backward, changes the
numbers, and fills in the derivatives as an exercise.
"""

import argparse
from pathlib import Path

import numpy as np

import koubai
from koubai.graph import Variable, draw

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--folder", type=Path, default=Path("graphs"), help="where the files go")
parser.add_argument("--format", action="append", choices=["svg", "html", "png", "dot", "md"])
args = parser.parse_args()


def named(**values):
    return [Variable(value, name) for name, value in values.items()]


def ended(y, name):
    y.name = name
    y.backward()
    return y


def two_apples():
    apple, number, tax = named(apple=100, number=2, tax=1.1)
    return draw(ended(apple * number * tax, "price"), title="Two apples", digits=6)


def apples_and_oranges():
    apple, apples, orange, oranges, tax = named(apple=100, n1=2, orange=150, n2=3, tax=1.1)
    price = (apple * apples + orange * oranges) * tax
    return draw(ended(price, "price"), title="Two apples and three oranges", digits=6)


def two_products():
    a, b, c, d = named(a=3, b=2, c=4, d=5)
    return draw(ended(a * b + c * d, "g"), title="g = a b + c d")


def sigmoid():
    (x,) = named(x=1.0)
    return draw(ended(koubai.Sigmoid().forward(x), "y"), opened=True, title="Sigmoid", digits=4)


def affine():
    (x,) = named(x=np.asarray([[1.0, 2.0]]))
    layer = koubai.Affine(np.asarray([[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]), np.ones(3))
    y = layer.forward(x)
    y.name = "y"
    y.backward(np.asarray([[1.0, 0.0, -1.0]]))
    return draw(y, opened=True, title="Affine")


def softmax_with_loss():
    (x,) = named(x=np.asarray([0.3, 2.9, 4.0]))
    loss = koubai.SoftmaxWithLoss().forward(x, np.asarray([0.0, 0.0, 1.0]))
    return draw(ended(loss, "loss"), opened=True, title="Softmax with loss", digits=3)


def two_layer_net():
    rng = np.random.default_rng(0)
    x = Variable(rng.standard_normal((100, 784)).astype(np.float32), "x")
    net = koubai.TwoLayerNet(784, 50, 10, rng=0)
    loss = net.loss(x, Variable(rng.integers(0, 10, 100), "t"))
    return draw(ended(loss, "loss"), title="TwoLayerNet", digits=4)


GRAPHS = (
    *(two_apples, apples_and_oranges, two_products),
    *(sigmoid, affine, softmax_with_loss, two_layer_net),
)

args.folder.mkdir(parents=True, exist_ok=True)
for graph in GRAPHS:
    picture = graph()
    for suffix in args.format or ["svg", "html"]:
        print(picture.save(args.folder / f"{graph.__name__}.{suffix}"))
