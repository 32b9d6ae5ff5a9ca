// What is around every page: the menu of narrow screens, the theme, the way out, and the number of questions.
import { base, remove } from "./api.js";
import { watchBadge } from "./badge.js";
import { find, findAll } from "./dom.js";
import { report } from "./ui.js";

const THEMES = ["auto", "light", "dark"];

function menu() {
  const opener = find(".menu-button");
  const shut = () => opener.setAttribute("aria-expanded", "false");
  opener.addEventListener("click", () => {
    opener.setAttribute("aria-expanded", String(opener.getAttribute("aria-expanded") !== "true"));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && opener.getAttribute("aria-expanded") === "true") {
      shut();
      opener.focus();
    }
  });
}

function theme() {
  const control = find("[data-theme-switch]");
  const show = (name) => {
    find("[data-theme-name]").textContent = { auto: "Auto", light: "Light", dark: "Dark" }[name];
    control.setAttribute("aria-label", `Theme: ${name}`);
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
  };
  const kept = () => localStorage.getItem("waystation.theme") ?? "auto";
  show(kept());
  control.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(kept()) + 1) % THEMES.length];
    localStorage.setItem("waystation.theme", next);
    show(next);
  });
}

function leaving() {
  for (const control of findAll("[data-log-out]")) {
    control.addEventListener("click", async () => {
      try {
        await remove("/session");
        location.assign(`${base}/console/login?left=1`);
      } catch (problem) {
        report(problem);
      }
    });
  }
}

menu();
theme();
leaving();
watchBadge();
// A page that comes back from the browser's memory may be somebody's who has logged out since.
window.addEventListener("pageshow", (event) => event.persisted && location.reload());
