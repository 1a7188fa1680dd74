"""The Affine layer's bias, and Softmax with cross entropy (the book, section 5.6)."""

import argparse

import koubai
from koubai import Affine, SoftmaxWithLoss, to_numpy

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--device", default="cpu", help="such as cpu, cuda, torch:cpu, jax")
device = koubai.device(parser.parse_args().device)


def array(values):
    return device.asarray(values, dtype="float64")


def main():
    # The bias is added to every row; its gradient is the sum over the rows.
    x = array([[0.0, 0.0], [5.0, 5.0]])
    affine = Affine(W=array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]), b=array([1.0, 2.0, 3.0]))
    print("x W")
    print(to_numpy(x @ affine.W))
    print("x W + b")
    print(to_numpy(affine.forward(x)))
    affine.backward(array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    print("db")
    print(to_numpy(affine.db))

    # The gradient of the scores is y - t: large where the network is wrong, small where right.
    t = array([[0.0, 1.0, 0.0]])
    for y in ([[0.3, 0.2, 0.5]], [[0.01, 0.98, 0.01]]):
        scores = device.xp.log(array(y))
        layer = SoftmaxWithLoss()
        loss = layer.forward(scores, t)
        print("y", to_numpy(layer.y), "loss", float(loss))
        print("y - t", to_numpy(layer.backward()))


with device.backend.float64():
    main()
