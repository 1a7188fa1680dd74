"use strict";

// The steps through a graph, and each one told in words and numbers.

const WRITINGS = {
  AddLayer: ["", " + ", ""],
  SubLayer: ["", " − ", ""],
  MulLayer: ["", " × ", ""],
  DivLayer: ["", " / ", ""],
  PowLayer: ["", " to the power ", ""],
  NegLayer: ["−", ""],
  MatMul: ["", " · ", ""],
  Exp: ["exp(", ")"],
  Log: ["log(", ")"],
  Abs: ["|", "|"],
  Tanh: ["tanh(", ")"],
  Maximum: ["max(", ", ", ")"],
  Minimum: ["min(", ", ", ")"],
  Sum: ["sum of ", ""],
  Mean: ["mean of ", ""],
  Max: ["largest of ", ""],
  Min: ["smallest of ", ""],
  Reshape: ["", " in another shape"],
  Transpose: ["", " turned"],
  Relu: ["max(", ", 0)"],
  Sigmoid: ["1 / (1 + exp(−", "))"],
  Affine: ["", " · ", " + ", ""],
  SoftmaxWithLoss: ["cross entropy of softmax(", ") and ", ""],
  IdentityWithLoss: ["half the squared error of ", " and ", ""],
};

const LETTERS = {
  Affine: ["x", "W", "b"],
  SoftmaxWithLoss: ["x", "t"],
  IdentityWithLoss: ["x", "t"],
};

const PRODUCTS = new Set(["MatMul", "Affine"]);

// Make an element. Text goes in as text, never as HTML.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function makeSteps(model) {
  const { places } = model.graph;
  const operations = places.filter((place) => !isGiven(place));
  const start = { kind: "start", values: places.filter(isGiven).map((place) => place.key) };
  const forward = operations.map((place) => ({
    kind: "forward",
    place,
    edges: edgesInto(model.graph, place),
    values: [place.key],
  }));
  if (!hasBackward(model)) return [start, ...forward];
  const output = outputOf(model);
  // The line at the end of the drawing is known by the key of the output.
  const seed = { kind: "seed", place: output, edges: [{ id: output.key }], totals: [output.key] };
  const back = [...places].reverse().flatMap((place) => stepsBack(model, place));
  return [start, ...forward, seed, ...back, { kind: "end" }];
}

function stepsBack(model, place) {
  const steps = [];
  const uses = usesOf(model, place.key);
  if (uses.length > 1 && place.gradient) {
    steps.push({ kind: "gather", place, edges: uses, totals: [place.key] });
  }
  const edges = edgesInto(model.graph, place).filter((edge) => edge.gradient);
  if (edges.length) {
    const single = edges.filter((edge) => usesOf(model, edge.source).length === 1);
    const totals = single.map((edge) => edge.source);
    steps.push({ kind: "backward", place, edges, shares: edges.map((edge) => edge.id), totals });
  }
  return steps;
}

function nameOf(model, place) {
  if (place.name) return place.name;
  const { text, shape } = valueOf(model, place);
  if (isGiven(place)) return place.symbol === place.value.text ? text : place.symbol;
  return shape.length ? `the result of ${place.symbol}` : `the result ${text} of ${place.symbol}`;
}

const sourcesOf = (model, place) =>
  edgesInto(model.graph, place).map((edge) => model.places.get(edge.source));

function letterOf(place, slot) {
  return (LETTERS[place.layer] ?? ["x", "y"])[slot] ?? `x${slot + 1}`;
}

function joinWords(words) {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

const tellers = {
  start: tellStart,
  forward: tellForward,
  seed: tellSeed,
  gather: tellGather,
  backward: tellBackward,
  end: tellEnd,
};

// The heading and what stands below it.
function tell(model, step) {
  const { heading, rule, parts } = tellers[step.kind](model, step);
  const title = make("h2", {}, heading);
  if (rule) title.append(" ", make("span", { class: "rule" }, rule));
  return [title, ...parts];
}

const sentence = (text) => make("p", { class: "sentence" }, text);

function tellStart(model) {
  const inputs = model.graph.places.filter((place) => place.kind === "input");
  const names = inputs.map((one) => nameOf(model, one));
  const isShort = names.length > 0 && names.length < 7;
  const words = isShort ? `These numbers go in: ${joinWords(names)}.` : "The numbers go in.";
  const next = "Step forward, and each operation computes its value from what comes in.";
  return { heading: "Start", parts: [sentence(`${words} ${next}`)] };
}

function tellForward(model, { place }) {
  const sources = sourcesOf(model, place);
  const words = `${place.symbol} takes ${joinWords(sources.map((one) => nameOf(model, one)))}.`;
  return {
    heading: `Forward: ${place.symbol}`,
    rule: place.formula,
    parts: [sentence(words), ...equationForward(model, place, sources)],
  };
}

function equationForward(model, place, sources) {
  const values = sources.map((source) => valueOf(model, source));
  const result = valueOf(model, place);
  const formula = writeFormula(place, sources);
  if ([...values, result].every((quantity) => !quantity.shape.length)) {
    const texts = values.map((value) => value.text);
    const found = make("span", { class: "new" }, result.text);
    return [make("p", { class: "equation" }, `${formula} = ${fillIn(place, texts)} = `, found)];
  }
  const terms = values.map((value, slot) =>
    makeTerm(value, sources[slot].name || letterOf(place, slot)),
  );
  const written = interleave(writingOf(place, terms.length), terms);
  const row = make("div", { class: "equation row" }, ...written);
  row.append(makeResult("=", result, place.name || "z"));
  return [make("p", { class: "equation" }, formula), row];
}

function writeFormula(place, sources) {
  const left = place.name || "z";
  const names = sources.map((source) => source.name);
  if (names.every(Boolean)) return `${left} = ${fillIn(place, names)}`;
  if (place.formula) return place.formula;
  return `${left} = ${fillIn(place, sources.map((_, slot) => letterOf(place, slot)))}`;
}

function writingOf(place, count) {
  const writing = Object.hasOwn(WRITINGS, place.layer) ? WRITINGS[place.layer] : [];
  if (writing.length === count + 1) return writing;
  return [`${place.symbol}(`, ...Array(Math.max(count - 1, 0)).fill(", "), ")"];
}

function fillIn(place, words) {
  const writing = writingOf(place, words.length);
  return words.reduce((text, word, slot) => {
    const alone = /[(|]$/.test(text);
    return text + (word.startsWith("-") && !alone ? `(${word})` : word) + writing[slot + 1];
  }, writing[0]);
}

const makeSign = (text) => make("span", { class: "sign" }, text);

function interleave(signs, terms) {
  const signAt = (place) => (signs[place].trim() ? [makeSign(signs[place].trim())] : []);
  return [...signAt(0), ...terms.flatMap((term, slot) => [term, ...signAt(slot + 1)])];
}

// The sign stays with the result where a line is broken.
function makeResult(sign, quantity, caption) {
  return make("span", { class: "result" }, makeSign(sign), makeTerm(quantity, caption, "new"));
}

// A number or an array, with what it is written below.
function makeTerm(quantity, caption, look = "") {
  const shape = quantity.shape.length ? ` ${writeShape(quantity.shape)}` : "";
  return make(
    "span",
    { class: `term ${look}`, "data-caption": `${caption}${shape}` },
    quantity.array && quantity.shape.length ? makeMatrix(quantity) : makeBlock(quantity),
  );
}

function makeBlock(quantity) {
  if (!quantity.shape.length) return quantity.text;
  return make("span", { class: "block", title: quantity.detail }, quantity.text);
}

function makeMatrix(quantity) {
  const { shape, data } = quantity.array;
  if (shape.length > 2 || shape.includes(0)) return makeBlock(quantity);
  const columns = shape.at(-1);
  return make(
    "span",
    { class: "matrix", role: "img", "aria-label": quantity.text, style: `--columns: ${columns}` },
    ...data.map((number) => make("span", {}, writeShort(number))),
  );
}

function tellSeed(model, { place }) {
  const name = nameOf(model, place);
  const asked = `Backward asks how fast ${name} grows when a number before it grows.`;
  const end = `At the end itself the derivative is ${totalOf(model, place).text}.`;
  return { heading: "Backward begins", parts: [sentence(`${asked} ${end}`)] };
}

function tellGather(model, { place, edges }) {
  const name = nameOf(model, place);
  const shares = edges.map((edge) =>
    makeTerm(shareOf(model, edge), `by ${model.places.get(edge.target).symbol}`),
  );
  const signs = ["", ...Array(shares.length - 1).fill("+"), ""];
  const result = makeResult("=", totalOf(model, place), `to ${name}`);
  const row = make("div", { class: "equation row" }, ...interleave(signs, shares), result);
  const words = `${name} is used ${edges.length} times: the shares that come back are added up.`;
  return { heading: `Backward: shares of ${name}`, parts: [sentence(words), row] };
}

function tellBackward(model, { place, edges }) {
  const d = totalOf(model, place);
  const from = d.shape.length ? `d, of the shape ${writeShape(d.shape)},` : `d = ${d.text}`;
  return {
    heading: `Backward: ${place.symbol}`,
    rule: place.formula,
    parts: [
      sentence(`${from} comes from behind. ${chainWords(place)}`),
      ...edges.map((edge) => makeChain(model, place, edge, d)),
    ],
  };
}

function chainWords(place) {
  if (!LOCAL_LAYERS.has(place.layer)) return "What goes on to each input follows from the rule.";
  return "Times the local derivative, it goes on to each input.";
}

function makeChain(model, place, edge, d) {
  const source = model.places.get(edge.source);
  const { terms, sign } = termsBack(model, place, edge, d);
  const result = makeResult(sign, shareOf(model, edge), `to ${nameOf(model, source)}`);
  const row = make("div", { class: "equation row" }, ...terms, result);
  const title = make("h3", {}, `To ${nameOf(model, source)}`);
  const told = row.querySelector(".local");
  if (edge.rule && !told) title.append(" ", make("span", { class: "rule" }, edge.rule));
  return make("div", { class: "chain" }, title, row);
}

// What the derivative comes from, and the sign before it: 1.1 × 2 and =
function termsBack(model, place, edge, d) {
  const behind = makeTerm(d, "d, from behind", "back");
  const local = localDerivative(model, edge);
  if (local) {
    const isWhole = sameShape(d.shape, model.places.get(edge.source).value.shape);
    const caption = edge.rule || "local derivative";
    const term = makeTerm(quantityOfArray(local, place.value.dtype), caption, "local");
    return { terms: [behind, makeSign("×"), term], sign: isWhole ? "=" : "summed to" };
  }
  if (place.layer === "SoftmaxWithLoss" && model.now) return termsOfSoftmax(model, place, behind);
  if (PRODUCTS.has(place.layer)) return termsOfProduct(model, place, edge, d, behind);
  return { terms: [behind], sign: "→" };
}

function termsOfSoftmax(model, place, behind) {
  const [x, t] = inputsOf(model.graph, model.now.values, place);
  const y = quantityOfArray(softmax(x));
  const label = quantityOfArray(oneHot(t, x));
  const last = makeSign(`) / ${countSamples(x)} ×`);
  const difference = [makeTerm(y, "softmax(x)"), makeSign("−"), makeTerm(label, "t")];
  return { terms: [makeSign("("), ...difference, last, behind], sign: "=" };
}

// d · Wᵀ to the first factor, xᵀ · d to the second, and to the bias the sum of d.
function termsOfProduct(model, place, edge, d, behind) {
  const [x, W] = sourcesOf(model, place).map((source) => valueOf(model, source));
  if (edge.slot === 2 || [d, x, W].some((quantity) => quantity.shape.length !== 2)) {
    return { terms: [behind], sign: "→" };
  }
  const [first, second] = ["x", place.layer === "Affine" ? "W" : "y"];
  const factors =
    edge.slot === 0
      ? [behind, makeSign("·"), makeTerm(turned(W), `${second}ᵀ`)]
      : [makeTerm(turned(x), `${first}ᵀ`), makeSign("·"), behind];
  return { terms: factors, sign: "=" };
}

function turned(quantity) {
  const shape = [...quantity.shape].reverse();
  if (quantity.array) return quantityOfArray(transpose(quantity.array));
  const text = `${quantity.text.split(" ")[0]} ${writeShape(shape)}`;
  return { text, detail: "", shape, array: null };
}

function tellEnd(model) {
  const output = outputOf(model);
  const found = model.graph.places.filter((place) => isGiven(place) && place.gradient);
  const rows = found.map((place) =>
    make(
      "div",
      { class: "equation row" },
      makeSign(`∂${output.name || "output"}/∂${nameOf(model, place)} =`),
      makeTerm(totalOf(model, place), "", "new"),
    ),
  );
  const words = `A derivative says how fast ${nameOf(model, output)} grows when that number grows.`;
  return { heading: "Done", parts: [sentence(words), ...rows] };
}
