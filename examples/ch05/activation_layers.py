"""Relu and Sigmoid, forward and backward (the book, section 5.5)."""

import argparse

import koubai
from koubai import Relu, Sigmoid, to_numpy

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--device", default="cpu", help="such as cpu, cuda, torch:cpu, jax")
device = koubai.device(parser.parse_args().device)


def main():
    x = device.asarray([[1.0, -0.5], [-2.0, 3.0]], dtype="float64")
    dout = device.asarray([[1.0, 1.0], [1.0, 1.0]], dtype="float64")

    for layer in (Relu(), Sigmoid()):
        print(layer)
        print("forward")
        print(to_numpy(layer.forward(x)))
        print("backward")
        print(to_numpy(layer.backward(dout)))


with device.backend.float64():
    main()
