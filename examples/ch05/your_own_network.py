"""A reader's own TwoLayerNet, written as the book writes it, on koubai's layers.

It keeps its parameters in a dict, hands them to the layers, and updates them in place; the
layers use the very arrays that they were given. That needs arrays that can be written:
NumPy, CuPy, torch. (JAX's cannot be; koubai.TwoLayerNet trains there too.)
"""

import argparse
import sys
from collections import OrderedDict

import array_api_compat
import numpy as np

import koubai
from koubai import Affine, Relu, SoftmaxWithLoss, numerical_gradient

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--device", default="cpu", help="such as cpu, cuda, torch:cpu")
parser.add_argument("--steps", type=int, default=1000)
args = parser.parse_args()
device = koubai.device(args.device)
rng = np.random.default_rng(0)


class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size, weight_init_std=0.01, dtype="float32"):
        def array(values):
            return device.asarray(values, dtype=dtype)

        self.params = {}
        self.params["W1"] = array(weight_init_std * rng.standard_normal((input_size, hidden_size)))
        self.params["b1"] = array(np.zeros(hidden_size))
        self.params["W2"] = array(weight_init_std * rng.standard_normal((hidden_size, output_size)))
        self.params["b2"] = array(np.zeros(output_size))

        self.layers = OrderedDict()
        self.layers["Affine1"] = Affine(self.params["W1"], self.params["b1"])
        self.layers["Relu1"] = Relu()
        self.layers["Affine2"] = Affine(self.params["W2"], self.params["b2"])
        self.lastLayer = SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        return self.lastLayer.forward(self.predict(x), t)

    def numerical_gradient(self, x, t):
        def loss_W(W):  # the book's idiom: W is changed in place, and the loss sees it
            return self.loss(x, t)

        return {key: numerical_gradient(loss_W, array) for key, array in self.params.items()}

    def gradient(self, x, t):
        # forward
        self.loss(x, t)

        # backward
        dout = self.lastLayer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)

        grads = {}
        grads["W1"], grads["b1"] = self.layers["Affine1"].dW, self.layers["Affine1"].db
        grads["W2"], grads["b2"] = self.layers["Affine2"].dW, self.layers["Affine2"].db
        return grads


def main():
    if not array_api_compat.is_writeable_array(device.asarray([0.0])):
        sys.exit(f"{device}: arrays that cannot be written; use koubai.TwoLayerNet there.")

    small = TwoLayerNet(6, 5, 4, weight_init_std=0.5, dtype="float64")
    x = device.asarray(rng.standard_normal((3, 6)), dtype="float64")
    t = device.asarray([0, 3, 1])
    numerical, backprop = small.numerical_gradient(x, t), small.gradient(x, t)
    for key in backprop:
        difference = koubai.to_numpy(backprop[key] - numerical[key])
        print(f"{key}: {np.average(np.abs(difference)):.1e}")

    (x_train, t_train), (x_test, t_test) = koubai.load_mnist(device=device)
    network = TwoLayerNet(784, 50, 10)
    for step in range(args.steps):
        batch = device.asarray(rng.choice(t_train.shape[0], 100))
        x_batch = device.xp.take(x_train, batch, axis=0)
        t_batch = device.xp.take(t_train, batch, axis=0)
        grads = network.gradient(x_batch, t_batch)
        for key in ("W1", "b1", "W2", "b2"):
            network.params[key] -= 0.1 * grads[key]
        if step % 200 == 0:
            print(f"step {step:4}: loss {float(network.lastLayer.loss):.4f}")
    y = koubai.to_numpy(network.predict(x_test))
    accuracy = np.mean(np.argmax(y, axis=1) == koubai.to_numpy(t_test))
    print(f"test accuracy after {args.steps} steps: {accuracy:.4f}")


main()
