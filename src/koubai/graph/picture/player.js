"use strict";

// The page: what is drawn and told at each step, the buttons and the keys.

const byId = (id) => document.getElementById(id);
const model = makeModel(JSON.parse(byId("scene").textContent));
const steps = makeSteps(model);
const drawing = byId("drawing");
const LARGEST_SCALE = 1.3;
const SMALLEST_SCALE = 0.8;
const MARGIN = 32;
const SMALLEST = 0.7;
const state = { mode: "steps", index: 0 };

// The texts of numbers on the drawing, by what they say: value, gradient or total.
const findTexts = (role, key) => drawing.querySelectorAll(`[data-${role}="${CSS.escape(key)}"]`);

// What is known by now: the keys of values and totals, and the ids of shares.
function knownSoFar() {
  const done = steps.slice(0, state.index + 1);
  const known = (role) => new Set(done.flatMap((step) => step[role] ?? []));
  return { values: known("values"), shares: known("shares"), totals: known("totals") };
}

function paintText(role, key, amount, quantity, isKnown) {
  for (const text of findTexts(role, key)) {
    const asked = !isKnown && state.mode === "exercise";
    text.classList.toggle("unknown", !isKnown && !asked);
    text.classList.toggle("asked", asked);
    const isDetail = text.classList.contains("detail");
    if (isDetail && asked) text.textContent = "";
    else if (isDetail) rewrite(text, amount.detail, { text: quantity.detail });
    else rewrite(text, amount.text, asked ? { text: "?" } : quantity);
  }
}

// The texts of the drawing as they were, and the room of each.
const drawnTexts = new Map();

function measureDrawing() {
  const middleOf = (box) => Math.round(box.x + box.width / 2);
  const groups = [...drawing.querySelectorAll("g[data-place]")];
  const boxes = new Map(groups.map((group) => [group, group.getBBox()]));
  const columns = new Map();
  for (const box of boxes.values()) {
    columns.set(middleOf(box), Math.max(box.width, columns.get(middleOf(box)) ?? 0));
  }
  for (const text of drawing.querySelectorAll("[data-value], [data-gradient], [data-total]")) {
    const key = text.dataset.value ?? text.dataset.total;
    const aside = drawing.querySelector(`.parameter[data-place="${key}"]`);
    const column = boxes.get(text.closest("g[data-place]"));
    const room = aside ? aside.getBBox().width : columns.get(middleOf(column)) + MARGIN;
    drawnTexts.set(text, { drawn: text.textContent, room });
  }
}

// The drawing writes more than the number, such as a name before it, and less of a long one.
function rewrite(element, first, quantity) {
  const { drawn, room } = drawnTexts.get(element);
  const before = drawn.endsWith(first) ? drawn.slice(0, -first.length) : "← ";
  const isFirst = quantity.text === first;
  element.textContent = isFirst ? drawn : before + quantity.text;
  element.style.fontSize = "";
  if (!isFirst) fit(element, room, before, quantity.array);
}

// A number that has grown keeps to the room on the drawing: smaller, or with fewer digits.
function fit(element, room, before, array) {
  const part = room / element.getComputedTextLength();
  if (part >= 1) return;
  const size = Number(element.getAttribute("font-size"));
  element.style.fontSize = `${size * Math.max(part, SMALLEST)}px`;
  const isLong = part < SMALLEST && array?.shape.length === 0;
  if (isLong) element.textContent = before + writeShort(array.data[0]);
}

function paintTexts(known) {
  const { values, totals, shares } = known;
  for (const place of model.graph.places) {
    const { key, value, gradient } = place;
    paintText("value", key, value, valueOf(model, place), values.has(key));
    if (gradient) paintText("total", key, gradient, totalOf(model, place), totals.has(key));
  }
  for (const edge of model.graph.edges.filter((one) => one.gradient)) {
    paintText("gradient", edge.id, edge.gradient, shareOf(model, edge), shares.has(edge.id));
  }
}

// Light up places and edges of the drawing, in the colour of the direction.
function light(places, edges, direction) {
  drawing.dataset.direction = direction;
  const marks = [
    ...places.map((key) => `[data-place="${key}"]`),
    ...edges.flatMap((edge) => [`[data-edge="${edge.id}"]`, `[data-aside="${edge.source}"]`]),
  ];
  const lit = new Set(marks.flatMap((mark) => [...drawing.querySelectorAll(mark)]));
  for (const part of drawing.querySelectorAll("[data-place], [data-edge], [data-aside]")) {
    part.classList.toggle("lit", lit.has(part));
  }
  bringIntoView(drawing.querySelector("[data-place].lit"));
}

// Large on a wall, and on a small screen never so small that it cannot be read.
function sizeDrawing() {
  const svg = drawing.querySelector("svg");
  const width = svg.width.baseVal.value;
  svg.style.width = `${width * LARGEST_SCALE}px`;
  svg.style.minWidth = `${width * SMALLEST_SCALE}px`;
}

// Where the drawing is larger than its frame, move it so that a place is in the middle.
function bringIntoView(group) {
  if (!group) return;
  const place = group.getBoundingClientRect();
  const frame = drawing.getBoundingClientRect();
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  drawing.scrollBy({
    left: place.left + place.width / 2 - frame.left - frame.width / 2,
    top: place.top + place.height / 2 - frame.top - frame.height / 2,
    behavior: isCalm ? "instant" : "smooth",
  });
}

const directionOf = (step) => (["start", "forward"].includes(step.kind) ? "forward" : "backward");

function paint() {
  document.body.dataset.mode = state.mode;
  if (state.mode === "exercise") {
    paintExercise();
    return;
  }
  const step = steps[state.index];
  paintTexts(knownSoFar());
  light(litPlaces(step), step.edges ?? [], directionOf(step));
  byId("story").dataset.direction = directionOf(step);
  byId("story").replaceChildren(...tell(model, step));
  paintProgress();
}

function litPlaces(step) {
  if (step.place) return [step.place.key];
  if (step.kind !== "end") return [];
  const found = model.graph.places.filter((place) => isGiven(place) && place.gradient);
  return found.map((place) => place.key);
}

function paintProgress() {
  const last = steps.length - 1;
  const step = steps[state.index];
  const phase = ["start", "end"].includes(step.kind) ? step.kind : directionOf(step);
  byId("progress-text").textContent = `Step ${state.index} of ${last}: ${phase}`;
  [...byId("track").children].forEach((mark, index) => {
    mark.classList.toggle("done", index <= state.index);
    mark.classList.toggle("here", index === state.index);
  });
  for (const id of ["first", "previous"]) disable(byId(id), state.index === 0);
  for (const id of ["next", "last"]) disable(byId(id), state.index === last);
}

// A button that cannot go on keeps the focus, so that the keyboard is not lost.
const disable = (button, isOff) => button.setAttribute("aria-disabled", String(isOff));

function goTo(index) {
  const bounded = Math.min(Math.max(index, 0), steps.length - 1);
  if (bounded === state.index) return;
  state.index = bounded;
  paint();
}

const moves = {
  first: () => goTo(0),
  previous: () => goTo(state.index - 1),
  next: () => goTo(state.index + 1),
  last: () => goTo(steps.length - 1),
};
const keys = {
  Home: moves.first,
  ArrowLeft: moves.previous,
  ArrowRight: moves.next,
  End: moves.last,
};

function onKey(event) {
  const isTyping = event.target.closest?.("input, textarea");
  const isCommand = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;
  if (isTyping || isCommand || state.mode !== "steps" || !Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]();
}

function setMode(mode) {
  state.mode = mode;
  for (const button of document.querySelectorAll("[data-set-mode]")) {
    button.setAttribute("aria-pressed", String(button.dataset.setMode === mode));
  }
  paint();
}

function start() {
  for (const [id, move] of Object.entries(moves)) byId(id).addEventListener("click", move);
  document.addEventListener("keydown", onKey);
  byId("track").append(...steps.map((step) => make("span", { class: directionOf(step) })));
  for (const button of document.querySelectorAll("[data-set-mode]")) {
    button.addEventListener("click", () => setMode(button.dataset.setMode));
  }
  byId("modes").hidden = !hasBackward(model);
  sizeDrawing();
  measureDrawing();
  makeEditor();
  makeExercise();
  paint();
}

start();
