// The form that starts a run: only what differs from its default is sent, and the plan that was
// looked at has to be the one that is run.
import { fetched } from "./morph.js";
import { post, say } from "./app.js";

const form = document.querySelector("#start"), plan = document.querySelector("#plan");
const wrong = document.querySelector("#wrong"), go = document.querySelector("#go");
const mayStart = !go.disabled;
// A second press of the button, or a request that is sent again, starts nothing twice.
const key = crypto.randomUUID();

const phases = () => [...form.querySelectorAll("[name=phase]:checked")].map(({ value }) => value);
const tasks = () => form.elements.task.value.split(/[\s,]+/).filter(Boolean);
const chosen = () => tasks().length ? { tasks: tasks() } : { phases: phases() };

const fits = (field) => {
  const of = field.dataset.phases.split(" ").filter(Boolean), now = phases();
  return !of.length || tasks().length > 0 || of.some((phase) => now.includes(phase));
};
const value = (field) => {
  const boxes = [...field.querySelectorAll("input[type=checkbox]")];
  if (field.dataset.type === "bool") return String(boxes[0].checked);
  if (boxes.length) return boxes.filter(({ checked }) => checked).map((box) => box.value).join(",");
  const text = field.querySelector("input, select, textarea").value;
  return field.dataset.type === "list" ? text.split(/\n/).map((line) => line.trim()).filter(Boolean).join(",") : text;
};
const typed = (text, kind) => kind === "bool" ? text === "true"
  : kind === "list" ? text.split(",").filter(Boolean) : kind === "int" || kind === "number" ? Number(text) : text;
const inputs = () => Object.fromEntries([...form.querySelectorAll("[data-input]")]
  .filter(fits)
  .map((field) => [field, value(field)])
  .filter(([field, text]) => text !== (field.dataset.type === "bool" ? field.dataset.default || "false" : field.dataset.default))
  .map(([field, text]) => [field.dataset.input, typed(text, field.dataset.type)]));

let asked = 0;
const show = async () => {
  const mine = ++asked;
  for (const field of form.querySelectorAll("[data-input]")) field.hidden = !fits(field);
  const query = new URLSearchParams();
  for (const name of chosen().phases ?? []) query.append("phase", name);
  for (const name of chosen().tasks ?? []) query.append("task", name);
  try {
    const made = await fetched(`${form.dataset.plan}?${query}`);
    if (mine !== asked) return;
    plan.replaceChildren(...[...made.body.childNodes].map((node) => document.importNode(node, true)));
    history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
  } catch (error) {
    say(`The plan cannot be shown: ${error.message}`, true);
  }
  go.disabled = !mayStart || !plan.querySelector("[data-sha256]");
};
let typing = 0;
form.addEventListener("change", (event) => event.target.matches("[name=phase], [name=task]") && show());
form.elements.task.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(show, 300); });

const complain = (error) => {
  const lines = error.problems.map((one) => [one.detail, one.hint].filter(Boolean).join("; "));
  wrong.textContent = (lines.length ? lines : [error.message]).join("\n");
  wrong.hidden = false;
  for (const field of form.querySelectorAll("[data-input]")) {
    const named = lines.some((line) => line.includes(field.dataset.input));
    for (const one of field.querySelectorAll("input, select, textarea")) {
      if (named) one.setAttribute("aria-invalid", "true");
      else one.removeAttribute("aria-invalid");
    }
  }
  form.querySelector("[aria-invalid]")?.focus();
};
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (go.disabled) return;
  go.disabled = true;
  wrong.hidden = true;
  const sha256 = plan.querySelector("[data-sha256]")?.dataset.sha256;
  const body = { ...chosen(), inputs: inputs() };
  try {
    // Another body is another request.
    const sum = [...new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(JSON.stringify(body))))];
    const once = `${key}-${sum.slice(0, 8).map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    const said = await post("/api/v1/runs", body, { "Idempotency-Key": once, "If-Match": `"${sha256}"` });
    location.assign(`/runs/${encodeURIComponent(said.run)}`);
  } catch (error) {
    go.disabled = false;
    if (error.status === 412) {
      await show();
      complain(new Error("The task files have changed since: this is the plan now. Look at it, and start again."));
    } else complain(error);
  }
});
show();
