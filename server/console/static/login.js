// The login: what is typed goes to the service once, and comes back as a cookie that scripts cannot read.
import { base, post } from "./api.js";

const form = document.getElementById("login");
const problem = document.getElementById("problem");
const token = document.getElementById("token");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.hidden = true;
  form.querySelector("button").disabled = true;
  try {
    await post("/session", { token: token.value });
    location.replace(base + next());
  } catch (refusal) {
    problem.textContent = refusal.message;
    problem.hidden = false;
    token.select();
  }
  form.querySelector("button").disabled = false;
});

/** Where the person wanted to go: a path of this service and nothing else. */
function next() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  const there = new URL(wanted, location.origin);
  return wanted.startsWith("/") && there.origin === location.origin ? there.pathname + there.search : "/";
}
