// A list that comes in pages: rows, and a button for those that follow.
import { asked } from "../api.js";
import { button, el, put } from "../dom.js";
import { failure, loading } from "../ui.js";

/**
 * @param {Element} place  Where it is shown.
 * @param {() => [string, object]} where  Path and query of the first page.
 * @param {(rows: object[]) => Node} draw  All rows that were read.
 * @param {() => Node} none  What is shown where there are none.
 * @returns {() => Promise<void>} Reads it again from the beginning.
 */
export function paged(place, where, draw, none) {
  let newest = 0;
  return async function read() {
    const mine = ++newest;
    put(place, loading());
    let rows = [];
    const more = async (after) => {
      const [path, query] = where();
      try {
        const answer = await asked("GET", path, { query: { ...query, after } });
        const found = await answer.json();
        if (mine !== newest) return;
        rows = rows.concat(found);
        const follows = answer.headers.get("link") && found.length;
        const next = follows ? button("More", { onclick: () => more(found.at(-1).cursor) }) : null;
        put(place, rows.length ? draw(rows) : none(), next ? el("p.more", {}, next) : null);
      } catch (problem) {
        if (mine === newest) put(place, failure(problem, read));
      }
    };
    await more(undefined);
  };
}

/** A function that waits until it was not called for a moment. */
export function calmly(run, ms = 250) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...given), ms);
  };
}
