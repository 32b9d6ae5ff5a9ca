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
    location.replace(next());
  } catch (refusal) {
    problem.textContent = refusal.message;
    problem.hidden = false;
    token.select();
  }
  form.querySelector("button").disabled = false;
});

/**
 * Where the person wanted to go: an address of this service and nothing else. With its host: the path of
 * "/..//host" is "//host", which leads elsewhere when it is read alone.
 */
function next() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  return new URL(location.origin + base + (/^\/(?![/\\])/.test(wanted) ? wanted : "/")).href;
}
