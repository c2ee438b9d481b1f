// A token is exchanged for a cookie: one in the address, which no server sees and no history keeps,
// or one that is pasted.
const form = document.querySelector("#login"), wrong = document.querySelector("#wrong");

const enter = async (token) => {
  const answer = await fetch("/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token }),
  });
  if (answer.ok) {
    location.replace(form.dataset.then);
    return;
  }
  const said = await answer.json().catch(() => ({}));
  wrong.textContent = said.detail ?? `The server answered ${answer.status}.`;
  wrong.hidden = false;
};

form.addEventListener("submit", (event) => {
  event.preventDefault();
  enter(form.elements.token.value.trim());
});
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  history.replaceState(null, "", location.pathname + location.search);
  enter(given);
}
