// Runs: the list with its filters, and one run.
import { asked, query } from "../insight/format.js";
import { find } from "../dom.js";
import { list } from "./list.js";
import { one } from "./one.js";

const place = find("#runs");
let leave = () => {};

function show() {
  leave();
  const run = asked("run");
  leave = run ? one(place, run, () => open("")) : list(place, open);
}

function open(run) {
  query({ run, tab: "" });
  show();
  window.scrollTo(0, 0);
}

window.addEventListener("popstate", show);
show();
