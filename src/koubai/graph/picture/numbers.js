"use strict";

// Numbers as Python writes and reads them.

const FEW_DIGITS = 4;
const LIST_DIGITS = 6;
const RANGE_DIGITS = 3;

// What repr() gives: 220.00000000000003, 2.0, 1e-05, 1e+16; a whole number without a point.
function writeNumber(number, integer = false) {
  if (Number.isNaN(number)) return "nan";
  if (!Number.isFinite(number)) return number > 0 ? "inf" : "-inf";
  if (integer) return Object.is(number, -0) ? "0" : BigInt(number).toString();
  const sign = number < 0 || Object.is(number, -0) ? "-" : "";
  const [mantissa, power] = Math.abs(number).toExponential().split("e");
  const digits = mantissa.replace(".", "");
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) return sign + writePower(digits, exponent);
  return sign + writePlain(digits, exponent);
}

function writePower(digits, exponent) {
  const mantissa = digits.length > 1 ? `${digits[0]}.${digits.slice(1)}` : digits;
  const power = String(Math.abs(exponent)).padStart(2, "0");
  return `${mantissa}e${exponent < 0 ? "-" : "+"}${power}`;
}

function writePlain(digits, exponent) {
  if (exponent < 0) return `0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${whole}.${digits.slice(exponent + 1) || "0"}`;
}

// A few digits, as in an array: 0.3333, 120, 1.5e-07.
function writeShort(number, digits = FEW_DIGITS) {
  if (!Number.isFinite(number)) return writeNumber(number);
  const rounded = Number(number.toPrecision(digits));
  const written = writeNumber(rounded === 0 ? 0 : rounded);
  return written.endsWith(".0") ? written.slice(0, -2) : written;
}

// The shortest number that is the same in float32.
function shortestSingle(number) {
  const single = Math.fround(number);
  if (!Number.isFinite(single)) return single;
  for (let digits = 1; digits < 9; digits += 1) {
    const candidate = Number(single.toPrecision(digits));
    if (Math.fround(candidate) === single) return candidate;
  }
  return Number(single.toPrecision(9));
}

const isWholeType = (dtype) => /^(u?int|bool)/.test(dtype);

function writeArray(array, dtype) {
  if (array.shape.length) return writeNested(toNested(array));
  const [number] = array.data;
  if (dtype === "number") return writeNumber(number, array.integer);
  return writeNumber(dtype === "float32" ? shortestSingle(number) : number, isWholeType(dtype));
}

const writeNested = (nested) =>
  Array.isArray(nested)
    ? `[${nested.map(writeNested).join(", ")}]`
    : writeShort(nested, LIST_DIGITS);

// What stands for the numbers of a larger array.
function writeRange({ data }) {
  const norm = Math.sqrt(addNumbers(data.map((number) => number * number)));
  const [most, low, high] = [norm, Math.min(...data), Math.max(...data)].map((number) =>
    writeShort(number, RANGE_DIGITS),
  );
  return `norm ${most}, ${low} … ${high}`;
}

function toNested(array) {
  const build = (shape, data) => {
    if (!shape.length) return data[0];
    const size = data.length / shape[0];
    return Array.from({ length: shape[0] }, (_, row) =>
      build(shape.slice(1), data.slice(row * size, (row + 1) * size)),
    );
  };
  return build(array.shape, array.data);
}

// JSON has no NaN and no infinity: they come as words.
const numberOf = (value) => {
  const words = { nan: NaN, inf: Infinity, "-inf": -Infinity };
  return typeof value === "string" ? words[value] : Number(value);
};

// The array of an amount of the scene, or null where its numbers are too many.
function arrayOf(amount) {
  if (!amount || amount.numbers === null) return null;
  const data = [amount.numbers].flat(Infinity).map(numberOf);
  const isWhole = amount.dtype === "number" && /^-?\d+$/.test(amount.text);
  const integer = isWhole && data.every(Number.isInteger);
  return makeArray(amount.shape, data, integer);
}

const tidy = (text) => text.trim().replaceAll("−", "-");

// Read what was typed for an amount; an Error's message says what is wrong in a sentence.
function readTyped(text, shape, dtype) {
  const array = shape.length ? readList(tidy(text), shape) : readSingle(tidy(text));
  if (isWholeType(dtype) && !array.data.every(Number.isInteger)) {
    throw new Error("Only whole numbers go in here.");
  }
  return array;
}

function readSingle(text) {
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) {
    throw new Error(text ? `“${text}” is not a number.` : "Type a number.");
  }
  return numberArray(Number(text), /^[+-]?\d+$/.test(text));
}

function readList(text, shape) {
  const nested = parseList(text, shape);
  const found = shapeOf(nested);
  if (found === null) throw new Error("The rows are not all of the same length.");
  if (!sameShape(found, shape)) {
    throw new Error(`The shape is ${writeShape(found)}, but ${writeShape(shape)} is wanted.`);
  }
  return makeArray(shape, nested.flat(Infinity));
}

function parseList(text, shape) {
  const example = shape.length > 1 ? "[[1, 2], [3, 4]]" : "[1, 2, 3]";
  const wrong = new Error(`This is not a list of numbers such as ${example}.`);
  try {
    const nested = JSON.parse(text);
    if (Array.isArray(nested) && nested.flat(Infinity).every((one) => typeof one === "number")) {
      return nested;
    }
  } catch {
    throw wrong;
  }
  throw wrong;
}

// The shape of a nested list, or null where its rows differ.
function shapeOf(nested) {
  if (!Array.isArray(nested)) return [];
  const shapes = nested.map(shapeOf);
  if (shapes.some((shape) => shape === null || !sameShape(shape, shapes[0]))) return null;
  return [nested.length, ...(shapes[0] ?? [])];
}

// Whether two numbers agree when both are rounded to three digits.
function agreeToThreeDigits(typed, right) {
  if (typed === right || (Number.isNaN(typed) && Number.isNaN(right))) return true;
  if (right === 0 || !Number.isFinite(right)) return false;
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(right))) - 2);
  return Math.abs(typed - right) <= unit * 0.5000001;
}
