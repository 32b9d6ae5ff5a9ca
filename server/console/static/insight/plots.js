// Plots, drawn as SVG: bars over days, and bars side by side for names.
import { el, svg } from "../dom.js";

// As wide as its card, so that its words keep their size.
const WIDTH = Math.max(Math.min(document.documentElement.clientWidth - 70, 990), 240);
const HEIGHT = 200;
const FOOT = 22;
const LEFT = 52;

/**
 * One bar for each row, upright, with a scale at the side.
 *
 * @param {{key: string, value: number, said: string}[]} rows  `said` is what a bar tells when it is pointed at.
 */
export function bars(rows, { label, scale = String }) {
  const top = nice(Math.max(...rows.map((row) => row.value), 0));
  const step = (WIDTH - LEFT) / Math.max(rows.length, 1);
  const tall = HEIGHT - FOOT - 8;
  const y = (value) => 8 + tall * (1 - (top ? value / top : 0));
  const lines = [0, top / 2, top].map((value) => [
    svg("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: y(value), y2: y(value) }),
    svg("text", { class: "scale", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, scale(value)),
  ]);
  const every = Math.ceil(rows.length / (WIDTH / 110));
  const drawn = rows.map((row, at) => {
    const x = LEFT + at * step + step * 0.14;
    return svg(
      "g",
      { class: "bar" },
      svg("title", {}, row.said),
      svg("rect", { class: "hit", x: LEFT + at * step, y: 8, width: step, height: tall }),
      svg("rect", { class: "value", x, y: y(row.value), width: Math.max(step * 0.72, 1), height: Math.max(y(0) - y(row.value), row.value ? 1 : 0), rx: 2 }),
    );
  });
  const middle = (at) => LEFT + at * step + step / 2;
  const days = rows.map((row, at) => (at % every === 0 || rows.length < 9 ? svg("text", { class: "scale", x: middle(at), y: HEIGHT - 5, "text-anchor": "middle" }, row.key) : null));
  return svg("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, ...lines.flat(), ...days.filter(Boolean), ...drawn);
}

/** A list of names, each with a bar as long as its value. */
export function lanes(rows, { label }) {
  const top = Math.max(...rows.map((row) => row.value), 0) || 1;
  return el(
    "ul.plain.lanes",
    { "aria-label": label },
    rows.map((row) => {
      const bar = el("span.lane-bar", { "aria-hidden": "true" });
      bar.style.setProperty("--share", row.value / top);
      return el("li", { title: row.said }, el("span.one-line", {}, row.key), bar, el("span.lane-value", {}, row.shown));
    }),
  );
}

/** The next round number above. */
function nice(value) {
  if (value <= 0) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((each) => each * size).find((each) => each >= value);
}
