// The form that starts a job, and the buttons of running ones. Both are sent as JSON; a refusal is shown in place.
(() => {
  "use strict";
  const LINES = ["vary", "link", "where", "sets"];
  const CHOICES = ["files", "strategies"];

  /** Return the request of a form: lines of text as lists, empty fields left out. */
  function requestOf(form) {
    const data = new FormData(form);
    const request = {};
    for (const [name, value] of data) {
      const text = value.trim();
      if (!text || CHOICES.includes(name)) continue;
      request[name] = LINES.includes(name) ? text.split("\n").map((line) => line.trim()).filter(Boolean) : name === "draw" ? Number(text) : text;
    }
    for (const name of CHOICES) if (data.has(name)) request[name] = data.getAll(name);
    if (request.files) request.files = request.files.map((file) => withSymbol(form, file));
    return request;
  }

  /** Return the input for the symbol of a file whose name does not say it. */
  const symbolField = (form, file) => [...form.querySelectorAll("[data-symbol-of]")].find((one) => one.dataset.symbolOf === file);

  /** Return a chosen file as the API names it: SYMBOL=file if the form says the symbol. */
  function withSymbol(form, file) {
    const symbol = symbolField(form, file)?.value.trim().toUpperCase();
    return symbol ? `${symbol}=${file}` : file;
  }

  async function send(form, body, answer) {
    const options = { method: "POST", headers: { "content-type": "application/json" }, body };
    const response = await fetch(form.action, options);
    if (response.ok) return true;
    const problem = await response.json().catch(() => ({}));
    answer.textContent = response.status === 401 ? "Not logged in. Log in with the token first." : `Refused: ${problem.detail || problem.title || response.status}`;
    answer.className = "answer bad";
    return false;
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const starts = form.matches("[data-job]");
    if (!starts && !form.matches("[data-job-act]")) return;
    event.preventDefault();
    const answer = starts ? form.querySelector(".answer") : document.getElementById("job-answer");
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    answer.textContent = starts ? "…" : "";
    try {
      if (await send(form, starts ? JSON.stringify(requestOf(form)) : undefined, answer)) window.location.assign("/library");
    } catch {
      answer.textContent = "The server did not answer.";
      answer.className = "answer bad";
    } finally {
      button.disabled = false;
    }
  });

  /** A chosen file needs its symbol. */
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[name=files]")) return;
    const field = symbolField(event.target.form, event.target.value);
    if (field) field.required = event.target.checked;
  });

  /** Show the parameters of the chosen strategy. */
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-parameters]")) return;
    document.querySelectorAll(".known-parameters").forEach((one) => { one.hidden = one.dataset.of !== event.target.value; });
  });
})();
