"""boxes: NumPy's arrays in boxes, which stand on one of two shelves.

The part of a stranger's array library: a class of arrays that no other library can read, two
devices that refuse to be mixed, and the Array API standard as far as koubai's layers use it.
"""

import operator
from functools import partial
from types import ModuleType

import numpy as np

__version__ = "1.0"
SHELVES = ("upper", "lower")


class Array:
    """Values in a box on a shelf."""

    __array_ufunc__ = None  # NumPy's arrays leave their operators to boxes, which refuse them

    def __init__(self, values, device):
        self.values = np.asarray(values)
        self.device = device

    dtype = property(lambda box: box.values.dtype)
    shape = property(lambda box: box.values.shape)
    ndim = property(lambda box: box.values.ndim)
    T = property(lambda box: Array(box.values.T, box.device))

    def __array_namespace__(self, *, api_version=None):
        return xp

    def __getitem__(self, key):
        return Array(self.values[key], self.device)

    def __setitem__(self, key, value):
        self.values[key] = value

    def __bool__(self):
        return bool(self.values)

    def __int__(self):
        return int(self.values)

    def __float__(self):
        return float(self.values)


def on_boxes(function):
    """Make a function of NumPy's arrays one of boxes that stand on the same shelf."""

    def on_one_shelf(*arguments, **options):
        shelves = {each.device for each in arguments if isinstance(each, Array)}
        if len(shelves) != 1 or any(isinstance(each, np.ndarray) for each in arguments):
            raise ValueError(f"boxes of one shelf are wanted, not of {sorted(shelves)}")
        opened = (each.values if isinstance(each, Array) else each for each in arguments)
        return Array(function(*opened, **options), *shelves)

    return on_one_shelf


def on_many_boxes(function):
    """Make a function of a list of arrays one of a list of boxes."""
    opened = on_boxes(lambda *values, **options: function(values, **options))
    return lambda boxes, **options: opened(*boxes, **options)


def in_box(function, *arguments, dtype=None, device=None, **options):
    """Put what a function of NumPy's makes in a box, by default on the upper shelf."""
    return Array(function(*arguments, dtype=dtype, **options), device or SHELVES[0])


def asarray(obj, *, device=None, **options):
    """Put values in a box; those of a box stay on its shelf."""
    values, shelf = getattr(obj, "values", obj), getattr(obj, "device", None)
    return in_box(np.array, values, device=device or shelf, **options)


def reflected(function):
    """Turn the operands of an operator round."""
    return lambda x, y: function(y, x)


OPERATORS = "add sub mul truediv pow matmul neg invert and_ or_ lt le gt ge eq ne"
FUNCTIONS = """
    abs exp log sqrt tanh isfinite maximum minimum where matmul astype
    sum mean max min all any argmax reshape permute_dims expand_dims take zeros_like
"""
DTYPES = """
    bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128
"""

for name in OPERATORS.split():
    setattr(Array, f"__{name.rstrip('_')}__", on_boxes(getattr(operator, name)))
for name in ("add", "sub", "mul", "truediv", "pow"):
    setattr(Array, f"__r{name}__", on_boxes(reflected(getattr(operator, name))))

xp = ModuleType("boxes.xp")
vars(xp).update(
    isdtype=np.isdtype,
    finfo=np.finfo,
    asarray=asarray,
    arange=partial(in_box, np.arange),
    zeros=partial(in_box, np.zeros),
    full=partial(in_box, np.full),
    eye=partial(in_box, np.eye),
    concat=on_many_boxes(np.concatenate),
    stack=on_many_boxes(np.stack),
    **{name: on_boxes(getattr(np, name)) for name in FUNCTIONS.split()},
    **{name: np.dtype(name) for name in DTYPES.split()},
)
