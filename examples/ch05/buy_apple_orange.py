"""Two apples, three oranges and a consumption tax (the book, section 5.4.2).

With --device the five numbers are arrays of that device, and the layers are the same.
"""

import argparse

import koubai
from koubai import AddLayer, MulLayer

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--device", help="such as cpu, cuda, torch:cpu, jax; by default plain numbers")
args = parser.parse_args()


def main(number=lambda value: value, show=lambda value: value):
    apple, apple_num = number(100), number(2)
    orange, orange_num = number(150), number(3)
    tax = number(1.1)

    mul_apple_layer = MulLayer()
    mul_orange_layer = MulLayer()
    add_apple_orange_layer = AddLayer()
    mul_tax_layer = MulLayer()

    # forward
    apple_price = mul_apple_layer.forward(apple, apple_num)
    orange_price = mul_orange_layer.forward(orange, orange_num)
    all_price = add_apple_orange_layer.forward(apple_price, orange_price)
    price = mul_tax_layer.forward(all_price, tax)

    # backward
    dall_price, dtax = mul_tax_layer.backward(number(1))
    dapple_price, dorange_price = add_apple_orange_layer.backward(dall_price)
    dorange, dorange_num = mul_orange_layer.backward(dorange_price)
    dapple, dapple_num = mul_apple_layer.backward(dapple_price)

    print("price:", show(price))
    print("dapple:", show(dapple))
    print("dapple_num:", show(dapple_num))
    print("dorange:", show(dorange))
    print("dorange_num:", show(dorange_num))
    print("dtax:", show(dtax))


if args.device is None:
    main()
else:
    device = koubai.device(args.device)
    with device.backend.float64():
        main(lambda value: device.asarray(value, dtype="float64"), float)
