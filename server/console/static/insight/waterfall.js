// Where the time of a run went: a row for each span, its bar where it stands in time.
import { el } from "../dom.js";
import { duration, json, pill } from "../ui.js";
import { count, money } from "./format.js";

const KINDS = { run: "the whole run", queue: "in line", attempt: "attempt", step: "step", model: "model", tool: "tool", retrieval: "search", waiting: "waits for a person" };
// A wait is drawn as long as this share of all the rest, however long it was.
const WAIT_SHARE = 0.08;
const CUT = 0.25;

/**
 * @param {object} found  What GET /runs/{id}/spans gives.
 */
export function waterfall(found) {
  const place = scale(found);
  const depth = depths(found.spans);
  const rows = found.spans.map((span) => row(span, depth.get(span.id), place, found.duration_ms));
  const ticks = el("div.ticks", { "aria-hidden": "true" }, place.ticks.map(([at, text]) => at_(el("span", {}, text), { "--from": at })));
  return el("div.waterfall", {}, el("div.span-head", {}, el("span", {}, "What"), ticks, el("span.number", {}, "Took")), el("ul.plain", { "aria-label": "Spans of the run, each below what it belongs to" }, rows));
}

function row(span, depth, place, now) {
  const end = span.start_ms + (span.duration_ms ?? Math.max(now - span.start_ms, 0));
  const from = place(span.start_ms);
  const bar = at_(el(`span.bar.k-${span.kind}.s-${span.status}`, {}), { "--from": from, "--wide": Math.max(place(end) - from, 0) });
  const took = span.duration_ms === null ? "goes on" : duration(span.duration_ms);
  const marked = ["ok", "done"].includes(span.status) || span.kind === "run" ? null : pill(span.status);
  const first = firstToken(span, place);
  const line = at_(
    el("summary.span-row", {}, el("span.span-name", {}, el("span.kind", {}, KINDS[span.kind]), el("span.one-line", {}, span.name), marked), el("span.track", { "aria-hidden": "true" }, bar, first), el("span.number", {}, took)),
    { "--depth": depth },
  );
  return el("li", {}, el("details.span", {}, line, el("div.span-detail", {}, facts(span))));
}

function firstToken(span, place) {
  const at = span.detail.first_token_ms;
  return at ? at_(el("span.first", { title: `first token after ${duration(at)}` }), { "--from": place(span.start_ms + at) }) : null;
}

function facts(span) {
  const told = { started: `after ${duration(span.start_ms)}`, took: span.duration_ms === null ? "goes on" : duration(span.duration_ms), status: span.status, attempt: span.attempt || "" };
  const { input_tokens: read, output_tokens: wrote, cost, first_token_ms: first, ...rest } = span.detail;
  if (read !== undefined) Object.assign(told, { tokens: `${count(read)} in, ${count(wrote)} out`, cost: money(cost), "first token": first ? `after ${duration(first)}` : "" });
  const pairs = Object.entries(told).filter(([, value]) => value !== "");
  const more = Object.entries(rest).filter(([, value]) => value !== null && value !== "" && !(Array.isArray(value) && !value.length));
  return [el("dl.facts", {}, pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))])), more.length ? json(Object.fromEntries(more)) : null].filter(Boolean);
}

function depths(spans) {
  const found = new Map();
  for (const span of spans) found.set(span.id, span.parent === null ? 0 : found.get(span.parent) + 1);
  return found;
}

/** Where a time stands, from 0 to 1. Long waits for a person are cut, so that the rest can be seen. */
function scale({ spans, duration_ms: whole }) {
  const waits = spans.filter((span) => span.kind === "waiting").map((span) => ({ from: span.start_ms, took: span.duration_ms ?? whole - span.start_ms }));
  const work = Math.max(whole - waits.reduce((sum, wait) => sum + wait.took, 0), 1);
  const long = waits.filter((wait) => wait.took > CUT * work);
  const shown = (wait) => WAIT_SHARE * work;
  const span = Math.max(long.reduce((sum, wait) => sum - wait.took + shown(wait), whole), 1);
  const place = (ms) => {
    let at = ms;
    for (const wait of long) {
      const inside = Math.min(Math.max(ms - wait.from, 0), wait.took);
      at += (inside / wait.took) * shown(wait) - inside;
    }
    return Math.min(Math.max(at / span, 0), 1);
  };
  place.ticks = long.length ? [[0, "0"]] : [0, 0.25, 0.5, 0.75].map((at) => [at, at ? duration(whole * at) : "0"]);
  return place;
}

function at_(element, values) {
  for (const [name, value] of Object.entries(values)) element.style.setProperty(name, value);
  return element;
}
