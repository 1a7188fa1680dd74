"use strict";

// The scene with the numbers as they are now. Texts come from the scene until a number is
// changed; then the calculus gives them.

const DIFFERENCE = 1e-5;
const FIXED = "The numbers cannot be changed here";

function makeModel(scene) {
  const edges = scene.edges.map((edge) => ({
    ...edge,
    id: `${edge.source}-${edge.target}-${edge.slot}`,
  }));
  const places = scene.places.map((place) => withGradient(place, edges));
  const graph = { ...scene, places, edges };
  const model = {
    graph,
    places: new Map(graph.places.map((place) => [place.key, place])),
    given: new Map(),
    first: null,
    now: null,
    whyFixed: whyNumbersAreFixed(graph),
  };
  return model.whyFixed ? model : calculate(model);
}

// A value that is used once has the derivative of its edge.
function withGradient(place, edges) {
  const uses = edges.filter((edge) => edge.source === place.key && edge.gradient);
  return uses.length === 1 ? { ...place, gradient: place.gradient ?? uses[0].gradient } : place;
}

const isGiven = (place) => !["operation", "layer"].includes(place.kind);
const outputOf = (model) => model.places.get(model.graph.output);
const hasBackward = (model) => outputOf(model).gradient !== null;
const usesOf = (model, key) =>
  model.graph.edges.filter((edge) => edge.source === key && edge.gradient);

// One sentence, or nothing where the numbers can be changed.
function whyNumbersAreFixed(graph) {
  const operations = graph.places.filter((place) => !isGiven(place));
  const strange = operations.find((place) => !Object.hasOwn(layers, place.layer));
  if (strange) {
    const layer = strange.layer || strange.symbol;
    return `${FIXED}, because this page does not know how to compute ${layer}.`;
  }
  const large = graph.places.find((place) => place.value.numbers === null);
  if (!large) return "";
  const name = large.name || large.symbol;
  return `${FIXED}, because ${name} has too many to show: ${large.value.text}.`;
}

function calculate(model) {
  const given = model.graph.places.filter(isGiven);
  model.given = new Map(given.map((place) => [place.key, arrayOf(place.value)]));
  try {
    model.first = computeGraph(model.graph, model.given, seedOf(model));
  } catch {
    model.first = null;
  }
  if (!model.first || !agreesWithScene(model)) {
    model.whyFixed = `${FIXED}, because this page computes other ones than the graph did.`;
    model.first = null;
  }
  model.now = model.first;
  return model;
}

function seedOf(model) {
  const { value, gradient } = outputOf(model);
  const ones = makeArray(value.shape, Array(sizeOf(value.shape)).fill(1), value.dtype === "number");
  return arrayOf(gradient) ?? ones;
}

function agreesWithScene(model) {
  const { places, edges } = model.graph;
  return (
    places.every((place) => isClose(model.first.values.get(place.key), arrayOf(place.value))) &&
    edges.every((edge) => isClose(model.first.shares.get(edge.id), arrayOf(edge.gradient)))
  );
}

function isClose(found, wanted) {
  if (!wanted) return true;
  if (!found || !sameShape(found.shape, wanted.shape)) return false;
  return found.data.every((number, position) => {
    const other = wanted.data[position];
    if (Object.is(number, other) || number === other) return true;
    return Math.abs(number - other) <= DIFFERENCE * Math.max(1e-3, Math.abs(other));
  });
}

// Put another array in. Where it does not fit, an Error says so, and nothing is changed.
function changeGiven(model, key, array) {
  const given = new Map(model.given).set(key, array);
  model.now = computeGraph(model.graph, given, seedOf(model));
  model.given = given;
}

// A quantity is what is shown of an amount: {text, detail, shape, array}.
function quantityOf(amount, first, now) {
  const { text, detail, shape, dtype } = amount;
  if (!now || isSame(first, now)) return { text, detail, shape, array: arrayOf(amount) };
  const isList = !shape.length || text.startsWith("[");
  if (isList) return { text: writeArray(now, dtype), detail, shape, array: now };
  return { text, detail: detail && writeRange(now), shape, array: now };
}

const isSame = (one, other) =>
  one.integer === other.integer &&
  one.data.every((number, position) => Object.is(number, other.data[position]));

const quantityOfArray = (array, dtype = "number") => ({
  text: writeArray(array, dtype),
  detail: "",
  shape: array.shape,
  array,
});

const valueOf = (model, place) =>
  quantityOf(place.value, model.first?.values.get(place.key), model.now?.values.get(place.key));
const shareOf = (model, edge) =>
  quantityOf(edge.gradient, model.first?.shares.get(edge.id), model.now?.shares.get(edge.id));

function totalOf(model, place) {
  const now = model.now?.totals.get(place.key);
  if (place.gradient) return quantityOf(place.gradient, model.first?.totals.get(place.key), now);
  if (now) return quantityOfArray(now, place.value.dtype);
  return { text: "d", detail: "", shape: place.value.shape, array: null };
}

// The local derivative of an edge where it is a number for every element; else null.
function localDerivative(model, edge) {
  const place = model.places.get(edge.target);
  if (!model.now || !LOCAL_LAYERS.has(place.layer)) return null;
  const inputs = inputsOf(model.graph, model.now.values, place);
  const z = model.now.values.get(place.key);
  const ones = makeArray(z.shape, Array(sizeOf(z.shape)).fill(1), true);
  const wide = inputs.map((x) => mapArrays((one) => one, x, ones));
  return layers[place.layer].backward(ones, wide, z, place.settings)[edge.slot];
}

const LOCAL_LAYERS = new Set([
  "AddLayer", "SubLayer", "MulLayer", "DivLayer", "PowLayer", "NegLayer", "Exp", "Log", "Abs",
  "Tanh", "Maximum", "Minimum", "Relu", "Sigmoid",
]);
