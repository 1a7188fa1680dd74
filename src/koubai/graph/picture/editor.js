"use strict";

// The fields in which the numbers that go in are changed.

function makeEditor() {
  byId("why-fixed").textContent = model.whyFixed;
  byId("why-fixed").hidden = !model.whyFixed;
  byId("put-back").hidden = Boolean(model.whyFixed);
  if (model.whyFixed) return;
  const fields = model.graph.places.filter(isGiven).map(makeField);
  byId("fields").append(...fields.map((field) => field.element));
  byId("put-back").addEventListener("click", () => fields.forEach((field) => field.putBack()));
}

function makeField(place) {
  const { shape, dtype } = place.value;
  const id = `field-${place.key}`;
  const written = writeForEditing(place);
  const look = { id, "aria-describedby": `${id}-error`, autocomplete: "off", spellcheck: "false" };
  const field = shape.length
    ? make("textarea", { ...look, rows: Math.min(written.split("\n").length, 6) }, written)
    : make("input", { ...look, type: "text", inputmode: "decimal", value: written });
  const error = make("p", { id: `${id}-error`, class: "error", role: "alert" });
  const change = () => applyTyped(place.key, field, error, shape, dtype);
  field.addEventListener("input", change);
  const about = [place.kind === "input" ? "" : place.kind, shape.length ? writeShape(shape) : ""];
  const caption = make("span", { class: "about" }, about.filter(Boolean).join(" "));
  const label = make("label", { for: id }, place.name || `into ${usersOf(place)}`, " ", caption);
  return {
    element: make("div", { class: "field" }, label, field, error),
    putBack: () => {
      field.value = written;
      change();
    },
  };
}

const usersOf = (place) =>
  joinWords(
    model.graph.edges
      .filter((edge) => edge.source === place.key)
      .map((edge) => model.places.get(edge.target).symbol),
  );

// All digits, a row of a matrix on a line.
function writeForEditing(place) {
  if (!place.value.shape.length) return place.value.text;
  const nested = toNested(arrayOf(place.value));
  const write = (one) => (Array.isArray(one) ? `[${one.map(write).join(", ")}]` : String(one));
  return write(nested).replaceAll("], [", "],\n [");
}

function applyTyped(key, field, error, shape, dtype) {
  try {
    changeGiven(model, key, readTyped(field.value, shape, dtype));
    error.textContent = "";
  } catch (problem) {
    error.textContent = problem.message;
  }
  field.setAttribute("aria-invalid", String(error.textContent !== ""));
  if (!error.textContent) {
    restartExercise();
    paint();
  }
}
