// The five verdicts, as the server comes to them one by one.
import { say } from "./app.js";

const button = document.querySelector("#verify"), told = document.querySelector("#verifying");
const STATES = { passed: "success", failed: "failure", doubtful: "lost", unsigned: "skipped", "not checked": "skipped" };

const put = (verdict) => {
  const name = (verdict.verdict ?? verdict.name).toLowerCase();
  const term = document.querySelector(`[data-verdict=${name}]`);
  if (!term) return;
  term.className = `s ${STATES[verdict.state] ?? "lost"}`;
  const word = document.createElement("b");
  word.textContent = verdict.state;
  term.nextElementSibling.replaceChildren(word, `: ${verdict.summary}`);
};
const find = (finding) => {
  const line = document.createElement("li");
  line.textContent = [finding.path, finding.message].filter(Boolean).join(": ");
  document.querySelector("#findings").append(line);
};

const take = (line) => {
  if (!line.trim()) return;
  const said = JSON.parse(line);
  for (const finding of said.findings ?? []) find(finding);
  if (said.state && (said.verdict ?? said.name)) put(said);
  if (said.detail) say(`Verifying: ${said.detail}`, true);
};
button.addEventListener("click", async () => {
  button.disabled = true;
  told.textContent = "reading every file of the run ...";
  document.querySelector("#findings").replaceChildren();
  for (const term of document.querySelectorAll("[data-verdict]")) {
    term.className = "s waiting";
    term.nextElementSibling.textContent = "...";
  }
  try {
    const answer = await fetch(button.dataset.verify, { headers: { Accept: "application/x-ndjson" } });
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `the server answered ${answer.status}`);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let { value, done } = await reader.read(); !done; { value, done } = await reader.read()) {
      text += value;
      const lines = text.split("\n");
      text = lines.pop();
      lines.forEach(take);
    }
    take(text);
    told.textContent = "";
  } catch (error) {
    told.textContent = "";
    for (const term of document.querySelectorAll("[data-verdict].waiting")) term.nextElementSibling.textContent = "no answer";
    say(`Verifying: ${error.message}`, true);
  }
  button.disabled = false;
});
