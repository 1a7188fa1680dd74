"""What Variables cost: forward and backward through a graph, against the explicit layers.

python benchmarks/graph.py [--shape 784-50-10] [--batch 100] [--rounds 200]
"""

from time import perf_counter

import numpy as np

import koubai
from koubai.graph import Variable
from measuring import facts, headline, options, quartiles, ratio, record

parser = options(__doc__, rounds=200)
parser.add_argument("--shape", default="784-50-10")
parser.add_argument("--batch", type=int, default=100)
args = parser.parse_args()

inputs, hidden, outputs = map(int, args.shape.split("-"))
rng = np.random.default_rng(0)
net = koubai.TwoLayerNet(inputs, hidden, outputs, rng=0)
x = rng.standard_normal((args.batch, inputs)).astype(np.float32)
t = rng.integers(0, outputs, args.batch)


def explicit():
    net.loss(x, t)
    net.backward()


def through_variables():
    net.loss(Variable(x), t).backward()


def seconds(run, steps=5):
    run()
    begun = perf_counter()
    for _ in range(steps):
        run()
    return (perf_counter() - begun) / steps


rounds = [(seconds(explicit), seconds(through_variables)) for _ in range(args.rounds)]
layers, graph = map(list, zip(*rounds, strict=True))
found = {
    "shape": args.shape,
    "batch": args.batch,
    "explicit_us": quartiles([1e6 * each for each in layers]),
    "graph_us": quartiles([1e6 * each for each in graph]),
    "ratio": ratio(graph, layers),
}
told = facts()
print(headline(told))
print(
    f"{args.shape}, batch {args.batch}: {found['explicit_us']['median']:.0f} us by layers, "
    f"{found['graph_us']['median']:.0f} us through Variables: {found['ratio']:.2f} times"
)
if args.json:
    record(args.json, "graph", {"machine": told, "found": found})
