// What every page has beyond reading: keys, buttons that ask the server for something, and parts
// that are looked at again.
import { fetched, morph } from "./morph.js";

const one = (selector, under = document) => under.querySelector(selector);
const all = (selector, under = document) => [...under.querySelectorAll(selector)];
const notice = one("#notice");

/** A sentence above the page; `bad` for what went wrong. */
export const say = (text, bad = false) => {
  if (!notice) return;
  notice.textContent = text;
  notice.className = bad ? "bad" : "";
};

/** What the API answers, or an Error with what it says is wrong. */
export const post = async (address, body = {}, headers = {}, method = "POST") => {
  const answer = await fetch(address, {
    method,
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  const error = new Error(said.detail ?? `the server answered ${answer.status}`);
  error.status = answer.status;
  error.problems = said.problems ?? said.errors ?? [];
  throw error;
};

// --- buttons ---

const act = async (button) => {
  const { post: address, method, body, confirm: question, goes } = button.dataset;
  if (question && !confirm(question)) return;
  button.disabled = true;
  say(`${button.textContent.trim()} ...`);
  try {
    const said = await post(address, body ? JSON.parse(body) : {}, {}, method);
    if (goes === "run" && said.run) location.assign(`/runs/${encodeURIComponent(said.run)}`);
    else if (goes) location.assign(goes);
    else {
      say(`${button.textContent.trim()}: asked for.`);
      document.dispatchEvent(new CustomEvent("asked"));
    }
  } catch (error) {
    say(`${button.textContent.trim()}: ${error.message}`, true);
    button.disabled = false;
  }
};
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-post]");
  if (button) act(button);
  if (event.target.closest("[data-keys]")) one("#keys").showModal();
});
one("#keys")?.addEventListener("click", (event) => event.target === event.currentTarget && event.target.close());

// --- answers at a gate ---

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-answer]");
  if (!form) return;
  event.preventDefault();
  const decision = event.submitter?.value ?? "approve", buttons = all("button", form);
  if (decision === "reject" && !confirm("Reject it? The task will not be run.")) return;
  for (const button of buttons) button.disabled = true;
  try {
    const comment = form.elements.comment.value;
    const said = await post(`${form.dataset.answer}/${decision}`, comment ? { comment } : {});
    say(said.text ?? `${decision}: asked for.`, said.state === "refused");
    document.dispatchEvent(new CustomEvent("asked"));
    if (said.state !== "refused") form.remove();
  } catch (error) { say(`${decision}: ${error.message}`, true); }
  for (const button of buttons) button.disabled = false;
});

// --- parts that are looked at again while the page is in sight ---

for (const part of all("[data-poll]")) {
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const made = document.createElement("div");
      const page = await fetched(part.dataset.poll), inner = part.dataset.pollPart;
      made.append(...(inner ? page.querySelectorAll(inner) : page.body.childNodes));
      for (const { name, value } of part.attributes) made.setAttribute(name, value);
      morph(part, made, !part.contains(document.activeElement) && !part.matches(":hover"));
    } catch { /* the next time */ }
  }, 5000);
}

// --- keys ---

const typing = (target) => /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName) || target.isContentEditable;
const rows = () => all("main a[data-row]").filter((row) => row.checkVisibility());
const step = (by) => {
  const found = rows();
  if (!found.length) return;
  const now = found.indexOf(document.activeElement);
  const next = found[Math.min(found.length - 1, Math.max(0, now < 0 ? (by > 0 ? 0 : found.length - 1) : now + by))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
};
const search = () => {
  const field = one("main [data-search]") ?? one("#search");
  field?.focus();
  field?.select();
};
const places = { r: "/runs", t: "/tasks", g: "/graph", s: "/start", h: "/" };
let before = "";
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && typing(event.target)) event.target.blur();
  if (typing(event.target) || one("dialog[open]")) return;
  const goes = before === "g" ? places[event.key] : "";
  before = event.key;
  if (goes) { before = ""; location.assign(goes); return; }
  if (event.key === "/") search();
  else if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "?") one("#keys").showModal();
  else if (event.key === "u") all("[data-up]").at(-1)?.click();
  else if (event.key === "n") one("[data-next]")?.click();
  else return;
  event.preventDefault();
});

// A graph that is wider than the page begins at what failed.
for (const graph of all(".graph")) {
  const failed = one(".box.failure, .box.timeout, .box.lost", graph);
  if (failed) graph.scrollLeft = failed.getBoundingClientRect().right - graph.getBoundingClientRect().left - graph.clientWidth / 2;
}
addEventListener("beforeprint", () => all("details").forEach((fold) => { fold.open = true; }));
