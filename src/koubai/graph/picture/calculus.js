"use strict";

// The layers over again, in float64, so that a changed number is felt through the whole graph
// at once. An array is {shape, data, integer}: its elements row by row, and whether they are
// Python's whole numbers, which are written without a point.

const makeArray = (shape, data, integer = false) => ({ shape, data, integer });
const numberArray = (number, integer = false) => makeArray([], [number], integer);
const sizeOf = (shape) => shape.reduce((product, length) => product * length, 1);
const writeShape = (shape) => (shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`);
const sameShape = (one, other) => writeShape(one) === writeShape(other);
const reshape = (x, shape) => makeArray(shape, x.data, x.integer);

// Every index of a shape, the last axis fastest: [0, 0], [0, 1], [1, 0], [1, 1].
function indicesOf(shape) {
  return shape.reduce(
    (indices, length) =>
      indices.flatMap((index) => Array.from({ length }, (_, last) => [...index, last])),
    [[]],
  );
}

// Where an index falls in a shape that may be shorter, or of length 1 where it is repeated.
function positionIn(shape, index) {
  const missing = index.length - shape.length;
  return shape.reduce(
    (position, length, axis) => position * length + (length === 1 ? 0 : index[axis + missing]),
    0,
  );
}

function broadcastShapes(one, other) {
  const count = Math.max(one.length, other.length);
  const padded = [one, other].map((shape) => [...Array(count - shape.length).fill(1), ...shape]);
  return padded[0].map((length, axis) => {
    const second = padded[1][axis];
    if (length !== second && length !== 1 && second !== 1) {
      throw new Error(
        `The shapes ${writeShape(one)} and ${writeShape(other)} do not broadcast together.`,
      );
    }
    return length === 1 ? second : length;
  });
}

// Apply a rule element by element; shapes broadcast.
function mapArrays(rule, ...arrays) {
  const shape = arrays.map((x) => x.shape).reduce(broadcastShapes);
  const data = indicesOf(shape).map((index) =>
    rule(...arrays.map((x) => x.data[positionIn(x.shape, index)])),
  );
  const integer = arrays.every((x) => x.integer) && data.every(Number.isInteger);
  return makeArray(shape, data, integer);
}

const addArrays = (x, y) => mapArrays((one, other) => one + other, x, y);
const addNumbers = (numbers) => numbers.reduce((sum, number) => sum + number, 0);

// Add up what belongs to one element of a shape that was broadcast.
function sumToShape(x, shape) {
  if (sameShape(x.shape, shape)) return x;
  const data = Array(sizeOf(shape)).fill(0);
  indicesOf(x.shape).forEach((index, position) => {
    data[positionIn(shape, index)] += x.data[position];
  });
  return makeArray(shape, data, x.integer);
}

function transpose(x, axes) {
  const order = (axes ?? x.shape.map((_, axis) => axis).reverse()).map(
    (axis) => (axis + x.shape.length) % x.shape.length,
  );
  const shape = order.map((axis) => x.shape[axis]);
  const data = indicesOf(shape).map((index) => {
    const source = [];
    order.forEach((axis, place) => {
      source[axis] = index[place];
    });
    return x.data[positionIn(x.shape, source)];
  });
  return makeArray(shape, data, x.integer);
}

function inverseOrder(axes, count) {
  const order = axes.map((axis) => (axis + count) % count);
  return order.map((_, axis) => order.indexOf(axis));
}

function swapLastAxes(x) {
  const axes = x.shape.map((_, axis) => axis);
  const last = axes.length - 1;
  return transpose(x, [...axes.slice(0, -2), last, last - 1]);
}

// The product of matrices, or of stacks of matrices that broadcast.
function multiplyMatrices(x, y) {
  const [rows, inner] = x.shape.slice(-2);
  const [height, columns] = y.shape.slice(-2);
  if (inner !== height) {
    throw new Error(`The shapes ${writeShape(x.shape)} and ${writeShape(y.shape)} do not fit.`);
  }
  const stack = broadcastShapes(x.shape.slice(0, -2), y.shape.slice(0, -2));
  const shape = [...stack, rows, columns];
  const data = indicesOf(shape).map((index) => {
    const [row, column] = index.slice(-2);
    const first = index.slice(0, -2);
    return addNumbers(
      Array.from(
        { length: inner },
        (_, k) =>
          x.data[positionIn(x.shape, [...first, row, k])] *
          y.data[positionIn(y.shape, [...first, k, column])],
      ),
    );
  });
  return makeArray(shape, data, x.integer && y.integer);
}

const asRow = (x) => (x.shape.length === 1 ? reshape(x, [1, ...x.shape]) : x);
const asColumn = (x) => (x.shape.length === 1 ? reshape(x, [...x.shape, 1]) : x);

function shapeOfProduct(x, y) {
  const stack = broadcastShapes(x.shape.slice(0, -2), y.shape.slice(0, -2));
  const rows = x.shape.length > 1 ? x.shape.slice(-2, -1) : [];
  const columns = y.shape.length > 1 ? y.shape.slice(-1) : [];
  return [...stack, ...rows, ...columns];
}

const matMul = {
  forward: ([x, y]) =>
    reshape(multiplyMatrices(asRow(x), asColumn(y)), shapeOfProduct(x, y)),
  backward: (d, [x, y]) => {
    const [left, right] = [asRow(x), asColumn(y)];
    const stack = broadcastShapes(left.shape.slice(0, -2), right.shape.slice(0, -2));
    const back = reshape(d, [...stack, ...left.shape.slice(-2, -1), ...right.shape.slice(-1)]);
    const dx = sumToShape(multiplyMatrices(back, swapLastAxes(right)), left.shape);
    const dy = sumToShape(multiplyMatrices(swapLastAxes(left), back), right.shape);
    return [reshape(dx, x.shape), reshape(dy, y.shape)];
  },
};

// A rule for numbers, as a rule for arrays.
const each =
  (rule) =>
  (...arrays) =>
    mapArrays(rule, ...arrays);
const times = each((x, y) => x * y);
const negative = each((x) => -x);

// A layer from a rule for numbers, and for each input the rule for what comes back to it.
function elementwise(value, ...shares) {
  return {
    forward: (inputs) => mapArrays(value, ...inputs),
    backward: (d, inputs, z) =>
      shares.map((share, slot) => sumToShape(share(d, ...inputs, z), inputs[slot].shape)),
  };
}

// A layer that gives none of Python's whole numbers: 4 / 2 is 2.0.
function floating(layer) {
  const made = (x) => x && { ...x, integer: false };
  return {
    forward: (inputs, settings) => made(layer.forward(inputs, settings)),
    backward: (...given) => layer.backward(...given).map(made),
  };
}

// The axes that a reduction takes together, from one axis, several, or null for all.
function axesOf(axis, count) {
  const axes = axis === null || axis === undefined ? [...Array(count).keys()] : [axis].flat();
  return axes.map((one) => (one + count) % count);
}

const keptShape = (shape, axis) => {
  const gone = axesOf(axis, shape.length);
  return shape.map((length, place) => (gone.includes(place) ? 1 : length));
};

// A layer that makes one number of many. The rule gets the numbers that belong together; the
// share gets d, one of them, what the rule gave, and all of them.
function reduction(rule, share) {
  return {
    forward: ([x], { axis, keepdims }) => {
      const gone = axesOf(axis, x.shape.length);
      const data = groupsOf(x, axis).map(rule);
      const shape = x.shape.filter((_, place) => !gone.includes(place));
      return makeArray(keepdims ? keptShape(x.shape, axis) : shape, data, x.integer);
    },
    backward: (d, [x], z, { axis }) => {
      const kept = keptShape(x.shape, axis);
      const groups = groupsOf(x, axis);
      const data = indicesOf(x.shape).map((index, position) => {
        const group = positionIn(kept, index);
        return share(d.data[group], x.data[position], z.data[group], groups[group]);
      });
      return [makeArray(x.shape, data, d.integer && data.every(Number.isInteger))];
    },
  };
}

function groupsOf(x, axis) {
  const kept = keptShape(x.shape, axis);
  const groups = Array.from({ length: sizeOf(kept) }, () => []);
  indicesOf(x.shape).forEach((index, position) => {
    groups[positionIn(kept, index)].push(x.data[position]);
  });
  return groups;
}

// The chosen one gets all of d; those that tie share it equally.
const shareOfChosen = (d, x, z, group) =>
  x === z ? d / group.filter((other) => other === z).length : 0;
const shareOfTwo = (d, x, y, isChosen) => (x === y ? d / 2 : isChosen ? d : 0);

// A shape with -1 in it, from the number of elements.
function completeShape(shape, size) {
  const wanted = [shape].flat();
  const known = -sizeOf(wanted);
  return wanted.map((length) => (length === -1 ? size / known : length));
}

function sigmoidOf(x) {
  const e = Math.exp(-Math.abs(x));
  return (x >= 0 ? 1 : e) / (1 + e);
}

function affineRows(x) {
  const count = x.shape.length > 1 ? x.shape[0] : 1;
  return reshape(x, [count, x.data.length / count]);
}

const affine = {
  forward: ([x, W, b]) => {
    const rows = addArrays(multiplyMatrices(affineRows(x), W), b);
    return reshape(rows, x.shape.length > 1 ? rows.shape : b.shape);
  },
  backward: (d, [x, W, b]) => {
    const rows = affineRows(d);
    return [
      reshape(multiplyMatrices(rows, transpose(W)), x.shape),
      multiplyMatrices(transpose(affineRows(x)), rows),
      sumToShape(rows, b.shape),
    ];
  },
};

const countSamples = (x) => (x.shape.length > 1 ? x.shape[0] : 1);

function softmax(x) {
  const axis = -1;
  const largest = reshape(layers.Max.forward([x], { axis }), keptShape(x.shape, axis));
  const e = mapArrays((one, most) => Math.exp(one - most), x, largest);
  const sums = reshape(layers.Sum.forward([e], { axis }), keptShape(x.shape, axis));
  return mapArrays((one, sum) => one / sum, e, sums);
}

function oneHot(t, x) {
  if (sameShape(t.shape, x.shape)) return t;
  const classes = x.shape.at(-1);
  const wrong = t.data.find((label) => !(Number.isInteger(label) && label >= 0 && label < classes));
  if (wrong !== undefined) {
    throw new Error(`A label must be one of the classes 0 to ${classes - 1}, but one is ${wrong}.`);
  }
  const data = t.data.flatMap((label) =>
    Array.from({ length: classes }, (_, column) => (column === label ? 1 : 0)),
  );
  return makeArray(x.shape, data);
}

const softmaxWithLoss = {
  forward: ([x, t]) => {
    const losses = groupsOf(x, -1).map((scores, row) => {
      const most = Math.max(...scores);
      const logOfSum = Math.log(addNumbers(scores.map((score) => Math.exp(score - most))));
      const labels = groupsOf(oneHot(t, x), -1)[row];
      return addNumbers(
        scores.map((score, k) => (labels[k] === 0 ? 0 : labels[k] * (logOfSum - (score - most)))),
      );
    });
    return numberArray(addNumbers(losses) / countSamples(x));
  },
  backward: (d, [x, t]) => [lossDerivative(d, softmax(x), oneHot(t, x)), null],
};

const identityWithLoss = {
  forward: ([x, t]) => {
    const squares = mapArrays((one, target) => (one - target) * (one - target), x, t);
    return numberArray((0.5 * addNumbers(squares.data)) / countSamples(x));
  },
  backward: (d, [x, t]) => [lossDerivative(d, x, t), null],
};

function lossDerivative(d, y, t) {
  const count = countSamples(y);
  return mapArrays((back, output, target) => ((output - target) / count) * back, d, y, t);
}

const layers = {
  AddLayer: elementwise((x, y) => x + y, (d) => d, (d) => d),
  SubLayer: elementwise((x, y) => x - y, (d) => d, negative),
  MulLayer: elementwise((x, y) => x * y, (d, x, y) => times(d, y), (d, x) => times(d, x)),
  DivLayer: floating(
    elementwise((x, y) => x / y, each((d, x, y) => d / y), each((d, x, y) => (-d / y) * (x / y))),
  ),
  PowLayer: elementwise(
    (x, y) => x ** y,
    each((d, x, y) => d * (y * x ** (y === 0 ? 0 : y - 1))),
    each((d, x, y, z) => d * (z * (x === 0 ? 0 : Math.log(x)))),
  ),
  NegLayer: elementwise((x) => -x, negative),
  MatMul: matMul,
  Exp: floating(elementwise(Math.exp, each((d, x, z) => d * z))),
  Log: floating(elementwise(Math.log, each((d, x) => d / x))),
  Abs: elementwise(Math.abs, each((d, x) => d * Math.sign(x))),
  Tanh: floating(elementwise(Math.tanh, each((d, x, z) => d * (1 - z * z)))),
  Maximum: elementwise(
    (x, y) => Math.max(x, y),
    each((d, x, y) => shareOfTwo(d, x, y, x > y)),
    each((d, x, y) => shareOfTwo(d, x, y, y > x)),
  ),
  Minimum: elementwise(
    (x, y) => Math.min(x, y),
    each((d, x, y) => shareOfTwo(d, x, y, x < y)),
    each((d, x, y) => shareOfTwo(d, x, y, y < x)),
  ),
  Sum: reduction(addNumbers, (d) => d),
  Mean: floating(
    reduction(
      (group) => addNumbers(group) / group.length,
      (d, x, z, group) => d / group.length,
    ),
  ),
  Max: reduction((group) => Math.max(...group), shareOfChosen),
  Min: reduction((group) => Math.min(...group), shareOfChosen),
  Reshape: {
    forward: ([x], { shape }) => reshape(x, completeShape(shape, x.data.length)),
    backward: (d, [x]) => [reshape(d, x.shape)],
  },
  Transpose: {
    forward: ([x], { axes }) => transpose(x, axes),
    backward: (d, [x], z, { axes }) => [transpose(d, axes && inverseOrder(axes, x.shape.length))],
  },
  Relu: elementwise((x) => Math.max(x, 0), each((d, x) => (x <= 0 ? 0 : d))),
  Sigmoid: floating(elementwise(sigmoidOf, each((d, x, z) => d * (1 - z) * z))),
  Affine: floating(affine),
  SoftmaxWithLoss: floating(softmaxWithLoss),
  IdentityWithLoss: floating(identityWithLoss),
};

// Run the graph from the arrays of what comes in from outside, then back from the output.
// A graph is {places, edges, output}, as in a scene; an edge has an id and its sources in order.
function computeGraph(graph, given, seed) {
  const values = new Map(given);
  const operations = graph.places.filter((place) => place.layer);
  for (const place of operations) {
    const inputs = inputsOf(graph, values, place);
    values.set(place.key, layers[place.layer].forward(inputs, place.settings));
  }
  return { values, ...computeBackward(graph, values, operations, seed) };
}

function computeBackward(graph, values, operations, seed) {
  const totals = new Map([[graph.output, seed]]);
  const shares = new Map();
  for (const place of [...operations].reverse()) {
    if (!totals.has(place.key)) continue;
    const inputs = inputsOf(graph, values, place);
    const z = values.get(place.key);
    const back = layers[place.layer].backward(totals.get(place.key), inputs, z, place.settings);
    for (const edge of edgesInto(graph, place).filter((one) => one.gradient)) {
      const share = back[edge.slot];
      const sum = totals.get(edge.source);
      shares.set(edge.id, share);
      totals.set(edge.source, sum ? addArrays(sum, share) : share);
    }
  }
  return { shares, totals };
}

const edgesInto = (graph, place) =>
  graph.edges
    .filter((edge) => edge.target === place.key)
    .sort((one, other) => one.slot - other.slot);
const inputsOf = (graph, values, place) =>
  edgesInto(graph, place).map((edge) => values.get(edge.source));
