"use strict";

// The book's exercise: the derivatives are hidden, and the reader fills them in.

const MOST_NUMBERS = 6;
const exercise = { questions: [] };

// What is asked, in the order of the backward pass: every share, and every sum of shares, unless
// it is too much to type.
function questionsOf() {
  const asked = steps.flatMap((step) => {
    if (step.kind === "gather") return [questionOfTotal(step.place, step.edges)];
    if (step.kind === "backward") return step.edges.map(questionOfShare);
    return [];
  });
  return asked.filter((question) => {
    const { array } = question.answer();
    return array && array.data.length <= MOST_NUMBERS;
  });
}

function questionOfShare(edge) {
  const [source, target] = [edge.source, edge.target].map((key) => model.places.get(key));
  return {
    id: edge.id,
    about: source.key,
    title: () => `from ${target.symbol} back to ${nameOf(model, source)}`,
    hint: () => `${edge.rule || target.formula || target.symbol}; ${wordsOfBehind(target)}`,
    answer: () => shareOf(model, edge),
    places: [edge.target],
    edges: [edge],
    state: "open",
  };
}

// What comes from behind is not given away while it is itself asked for.
function wordsOfBehind(place) {
  const isOpen = exercise.questions.some((one) => one.about === place.key && one.state === "open");
  if (isOpen) return `d is the derivative behind ${place.symbol}: find it first.`;
  return `d = ${totalOf(model, place).text} comes from behind.`;
}

function questionOfTotal(place, uses) {
  return {
    id: place.key,
    about: place.key,
    title: () => `all shares of ${nameOf(model, place)}`,
    hint: () => "Add up the shares that come back along its edges.",
    answer: () => totalOf(model, place),
    places: [place.key],
    edges: uses,
    state: "open",
  };
}

function makeExercise() {
  if (!hasBackward(model)) return;
  exercise.questions = questionsOf();
  byId("questions").append(...exercise.questions.map(makeQuestion));
  byId("no-questions").hidden = exercise.questions.length > 0;
  byId("again").hidden = exercise.questions.length === 0;
  byId("again").addEventListener("click", () => {
    restartExercise();
    paint();
    exercise.questions[0].field.focus();
  });
  for (const question of exercise.questions) askOnDrawing(question);
}

// A click on the edge, or on the question mark below it, leads to the field.
function askOnDrawing(question) {
  const { id, about } = question;
  const isAlone = id === about || usesOf(model, about).length === 1;
  const marks = [`[data-edge="${id}"]`, `[data-gradient="${id}"]`];
  if (isAlone) marks.push(`[data-total="${about}"]`);
  for (const part of drawing.querySelectorAll(marks.join(", "))) {
    part.addEventListener("click", () => {
      if (state.mode === "exercise") question.field.focus();
    });
  }
}

// No form: a frame in which nothing may be sent would not let it be checked.
function makeQuestion(question) {
  const id = `answer-${question.id}`;
  question.label = make("label", { for: id }, question.title());
  question.field = makeAnswerField(question, id);
  question.reply = make("p", { id: `${id}-reply`, class: "reply", role: "status" });
  question.element = make(
    "div",
    { class: "question", "data-question": question.id },
    question.label,
    make(
      "div",
      { class: "line" },
      question.field,
      makeButton("Check", () => check(question)),
      makeButton("Hint", () => reply(question, question.hint())),
      makeButton("Show", () => show(question)),
    ),
    question.reply,
  );
  question.element.addEventListener("focusin", () =>
    light(question.places, question.edges, "backward"),
  );
  return make("li", {}, question.element);
}

function makeAnswerField(question, id) {
  const { shape } = question.answer();
  const field = make("input", {
    id,
    type: "text",
    autocomplete: "off",
    "aria-describedby": `${id}-reply`,
    placeholder: shape.length ? writeShape(shape) : "?",
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") check(question);
  });
  return field;
}

function makeButton(text, action) {
  const button = make("button", { type: "button" }, text);
  button.addEventListener("click", action);
  return button;
}

function reply(question, text) {
  question.reply.textContent = text;
}

function check(question) {
  if (question.state !== "open") return;
  const wrong = whatIsWrong(question);
  if (wrong) {
    question.element.dataset.state = "wrong";
    reply(question, wrong);
    return;
  }
  settle(question, "right", `Right: ${question.answer().text}`);
  exercise.questions.find((other) => other.state === "open")?.field.focus();
}

// A sentence, or nothing where the answer is right.
function whatIsWrong(question) {
  const { shape, array } = question.answer();
  try {
    const typed = readTyped(question.field.value, shape, "");
    const isRight = typed.data.every((number, position) =>
      agreeToThreeDigits(number, array.data[position]),
    );
    return isRight ? "" : "Not right yet.";
  } catch (problem) {
    return problem.message;
  }
}

function show(question) {
  if (question.state !== "open") return;
  question.field.value = question.answer().text;
  settle(question, "shown", `${question.hint()} It is ${question.answer().text}.`);
}

function settle(question, found, words) {
  question.state = found;
  question.element.dataset.state = found;
  question.field.readOnly = true;
  reply(question, words);
  paintExercise();
}

function restartExercise() {
  for (const question of exercise.questions) {
    question.state = "open";
    question.element.dataset.state = "open";
    question.field.readOnly = false;
    question.field.value = "";
    question.label.textContent = question.title();
    reply(question, "");
  }
}

function paintExercise() {
  const open = new Set(
    exercise.questions.filter((one) => one.state === "open").map((one) => one.id),
  );
  const { places, edges } = model.graph;
  const isKnown = (place) => {
    const uses = usesOf(model, place.key);
    return !(uses.length === 1 ? open.has(uses[0].id) : open.has(place.key));
  };
  paintTexts({
    values: new Set(places.map((place) => place.key)),
    shares: new Set(edges.map((edge) => edge.id).filter((id) => !open.has(id))),
    totals: new Set(places.filter(isKnown).map((place) => place.key)),
  });
  const right = exercise.questions.filter((one) => one.state === "right").length;
  byId("score").textContent = `${right} of ${exercise.questions.length} right`;
  const first = exercise.questions.find((one) => one.state === "open");
  const focused = exercise.questions.find((one) => one.element.contains(document.activeElement));
  const current = focused ?? first;
  light(current?.places ?? [], current?.edges ?? [], "backward");
}
