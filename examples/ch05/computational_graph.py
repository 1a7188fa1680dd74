"""The book's first graphs (sections 5.1 to 5.4), built by writing arithmetic.

Each operator is a layer, and backward() goes through the layers in reverse. With --device the
numbers are arrays of that device, and nothing else changes.
"""

import argparse

import koubai
from koubai.graph import Variable, jvp

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--device", help="such as cpu, cuda, torch:cpu, jax; by default plain numbers")
args = parser.parse_args()


def main(number=lambda value: value, show=lambda value: value):
    def tell(*variables):
        for variable in variables:
            print(f"  {variable.name}: {show(variable.array)}, derivative {show(variable.grad)}")

    print("two apples")
    apple = Variable(number(100), "apple")
    apple_num = Variable(number(2), "apple_num")
    tax = Variable(number(1.1), "tax")
    price = apple * apple_num * tax
    price.backward()
    print("  price:", show(price.array))
    tell(apple, apple_num, tax)

    print("two apples and three oranges")
    orange = Variable(number(150), "orange")
    orange_num = Variable(number(3), "orange_num")
    price = (apple * apple_num + orange * orange_num) * tax
    price.backward()
    print("  price:", show(price.array))
    tell(apple, apple_num, orange, orange_num, tax)

    print("g = a b + c d")
    a, b, c, d = (
        Variable(number(value), name) for name, value in zip("abcd", (3, 2, 4, 5), strict=True)
    )
    e, f = a * b, c * d
    g = e + f
    e.name, f.name, g.name = "e", "f", "g"
    g.backward()
    tell(a, b, c, d, e, f, g)

    print("the same in forward mode: one pass for each input")
    for position, name in enumerate("abcd"):
        direction = [number(1.0 if i == position else 0.0) for i in range(4)]
        values = [variable.array for variable in (a, b, c, d)]
        _, tangent = jvp(lambda a, b, c, d: a * b + c * d, values, direction)
        print(f"  dg/d{name} = {show(tangent)}")


if args.device is None:
    main()
else:
    device = koubai.device(args.device)
    with device.backend.float64():
        main(lambda value: device.asarray(value, dtype="float64"), float)
