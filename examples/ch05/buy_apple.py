"""Two apples and a consumption tax, forward and backward (the book, section 5.4.1).

With --device the three numbers are arrays of that device, and the layers are the same.
"""

import argparse

import koubai
from koubai import MulLayer

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--device", help="such as cpu, cuda, torch:cpu, jax; by default plain numbers")
args = parser.parse_args()


def main(number=lambda value: value, show=lambda value: value):
    apple, apple_num, tax = number(100), number(2), number(1.1)

    mul_apple_layer = MulLayer()
    mul_tax_layer = MulLayer()

    # forward
    apple_price = mul_apple_layer.forward(apple, apple_num)
    price = mul_tax_layer.forward(apple_price, tax)

    # backward
    dapple_price, dtax = mul_tax_layer.backward(number(1))
    dapple, dapple_num = mul_apple_layer.backward(dapple_price)

    print("price:", show(price))
    print("dapple:", show(dapple))
    print("dapple_num:", show(dapple_num))
    print("dtax:", show(dtax))


if args.device is None:
    main()
else:
    device = koubai.device(args.device)
    with device.backend.float64():
        main(lambda value: device.asarray(value, dtype="float64"), float)
