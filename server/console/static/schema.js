// A form made from a JSON Schema: fields for what forms can show, JSON for the rest.
import { el, unique } from "./dom.js";

/**
 * @param {object} schema  Of an object.
 * @param {object} [given]  Values to begin with.
 * @returns {{element: Element, value: () => object}} `value` throws an Error with a sentence where a field is wrong.
 */
export function schemaForm(schema = {}, given = {}) {
  const properties = Object.entries(schema.properties ?? {});
  const required = new Set(schema.required ?? []);
  if (!properties.length) return jsonForm(given);
  const fields = properties.map(([name, shape]) => field(name, resolved(shape, schema), given[name], required.has(name)));
  const element = el("div.stack", {}, fields.map((each) => each.element));
  const value = () => Object.fromEntries(fields.map((each) => [each.name, each.value()]).filter(([, each]) => each !== undefined));
  return { element, value };
}

function resolved(shape, schema) {
  const name = /^#\/(\$defs|definitions)\/(.+)$/.exec(shape.$ref ?? "");
  const found = name ? { ...schema[name[1]]?.[name[2]], ...shape } : shape;
  const kinds = (found.anyOf ?? found.oneOf ?? []).filter((each) => each.type !== "null");
  return kinds.length === 1 ? { ...found, ...resolved(kinds[0], schema) } : found;
}

function field(name, shape, given, required) {
  const id = unique("field");
  const { input, read } = inputOf(shape, given ?? shape.default, id);
  const label = `${shape.title ?? name}${required ? "" : " (may be left out)"}`;
  const hint = shape.description ? el("span.hint", { id: `${id}-hint` }, shape.description) : null;
  if (hint) input.setAttribute("aria-describedby", hint.id);
  const element =
    shape.type === "boolean"
      ? el("div.field", {}, el("label.choice", { for: id }, input, el("span", {}, shape.title ?? name)), hint)
      : el("div.field", {}, el("label", { for: id }, el("b", {}, label)), input, hint);
  const value = () => {
    input.removeAttribute("aria-invalid");
    try {
      const found = read();
      if (found === undefined && required) throw new Error(`${shape.title ?? name}: is needed`);
      return found;
    } catch (fault) {
      input.setAttribute("aria-invalid", "true");
      input.focus();
      throw fault;
    }
  };
  return { name, element, value };
}

function inputOf(shape, given, id) {
  if (Array.isArray(shape.enum)) return choice(shape, given, id);
  if (shape.type === "boolean") {
    const input = el("input", { type: "checkbox", id });
    input.checked = given === true;
    return { input, read: () => input.checked };
  }
  if (shape.type === "integer" || shape.type === "number") return number(shape, given, id);
  if (shape.type === "string") return words(shape, given, id);
  return whole(given, id);
}

function choice(shape, given, id) {
  const names = shape.enumNames ?? shape.enum;
  const input = el("select", { id }, el("option", { value: "" }, "—"), shape.enum.map((each, at) => el("option", { value: String(at) }, String(names[at] ?? each))));
  const at = shape.enum.indexOf(given);
  input.value = at < 0 ? "" : String(at);
  return { input, read: () => (input.value === "" ? undefined : shape.enum[Number(input.value)]) };
}

function number(shape, given, id) {
  const input = el("input", { type: "text", inputmode: "decimal", id, value: given === undefined || given === null ? "" : String(given) });
  const read = () => {
    if (input.value.trim() === "") return undefined;
    const found = Number(input.value);
    if (!Number.isFinite(found)) throw new Error(`'${input.value}' is no number`);
    return found;
  };
  return { input, read };
}

const TYPES = { date: "date", email: "email", uri: "url" };

function words(shape, given, id) {
  const text = given === undefined || given === null ? "" : String(given);
  const long = text.length > 60 || text.includes("\n") || (shape.maxLength ?? 0) > 200;
  const input = long ? el("textarea", { id, rows: Math.min(10, text.split("\n").length + 2) }) : el("input", { type: TYPES[shape.format] ?? "text", id });
  input.value = text;
  return { input, read: () => (input.value === "" && given === undefined ? undefined : input.value) };
}

/** A value that no field fits, as JSON. */
function whole(given, id) {
  const text = given === undefined ? "" : JSON.stringify(given, null, 2);
  const input = el("textarea.mono", { id, rows: Math.min(14, Math.max(3, text.split("\n").length)), spellcheck: "false" });
  input.value = text;
  return { input, read: () => (input.value.trim() === "" ? undefined : parsed(input.value)) };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (fault) {
    throw new Error(`This is no JSON: ${fault.message}`);
  }
}

function jsonForm(given) {
  const { input, read } = whole(given, unique("field"));
  const element = el("div.field", {}, el("label", { for: input.id }, el("b", {}, "Arguments as JSON")), input);
  return { element, value: () => read() ?? {} };
}
