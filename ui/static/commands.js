// Commands are confirmed beside their button and answered in their row; a login stays on its page if the token is wrong.
(() => {
  "use strict";

  const DONE = { pause: "Paused", resume: "Resumed", close: "Closing at the next open", kill: "Killed", reset: "Reset", reload: "Reloaded" };
  const DONE_MS = 8_000;
  const REFUSED_MS = 15_000;

  function say(form, text, kind) {
    const answer = form.querySelector(".answer");
    answer.textContent = text;
    answer.className = `answer ${kind}`;
  }

  /** Return the server's reason for a refusal. */
  async function reason(response) {
    try {
      const problem = await response.json();
      return problem.detail || problem.title;
    } catch {
      return `the server answered ${response.status}`;
    }
  }

  // ---------------------------------------------------------------- commands: requested in a row, confirmed beside it

  const box = document.getElementById("ask");
  const ask = box?.querySelector("form");
  /** The command that is being confirmed: what the button says about it, and the key that makes a repetition safe. */
  let wanted = null;

  function open(button) {
    const key = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    wanted = { ...button.dataset, key, label: button.textContent.trim(), id: button.id };
    ask.querySelector("h2").textContent = wanted.ask;
    ask.querySelector(".sub").textContent = wanted.about;
    ask.elements.why.value = "";
    ask.elements.why.required = wanted.command === "kill" || wanted.command === "reset";
    ask.querySelector(".hint").textContent = ask.elements.why.required ? "· recorded in the log" : "· optional, recorded in the log";
    const yes = ask.querySelector("[type=submit]");
    yes.textContent = `Yes, ${wanted.label.toLowerCase()}`;
    yes.classList.toggle("danger", wanted.command === "kill");
    say(ask, "", "");
    document.getElementById(wanted.answer)?.replaceChildren();
    box.showPopover();
    if (window.matchMedia("(pointer: fine)").matches) ask.elements.why.focus();
  }

  /** Show a result where the command was requested, for a while; the log keeps it. */
  function tell(sent, text, kind, seq) {
    const answer = document.getElementById(sent.answer);
    if (!answer) return;
    answer.className = `answer ${kind}`;
    answer.textContent = text;
    if (seq) {
      const link = document.createElement("a");
      link.href = `/events/${seq}`;
      link.textContent = `event ${seq.toLocaleString("en-US")}`;
      answer.append(": ", link);
    }
    clearTimeout(answer.fade);
    answer.fade = setTimeout(() => {
      answer.classList.add("gone");
      answer.fade = setTimeout(() => answer.replaceChildren(), 1_000);
    }, kind === "good" ? DONE_MS : REFUSED_MS);
  }

  async function command(form) {
    const sent = wanted;
    const response = await fetch(`/api/v1/commands/${sent.command}`, {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": sent.key },
      body: JSON.stringify({ actor: "dashboard", reason: form.elements.why.value.trim() || "asked for on the page", ...JSON.parse(sent.body) }),
    });
    if (response.status === 401) {
      await refused(form, response);
      return;
    }
    box.hidePopover();
    document.getElementById(sent.id)?.focus();
    if (!response.ok) {
      tell(sent, `Refused: ${await reason(response)}`, "bad");
      return;
    }
    const accepted = await response.json();
    tell(sent, [DONE[sent.command], ...(accepted.changes ?? [])].join("\n"), "good", accepted.first_seq);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-command]");
    if (button) open(button);
    if (event.target.closest("#ask [data-no]")) box.hidePopover();
  });

  async function refused(form, response) {
    if (response.status !== 401) {
      say(form, `Refused: ${await reason(response)}`, "bad");
      return;
    }
    say(form, "Not logged in. Log in with the token first.", "bad");
    const link = document.createElement("a");
    link.href = `/login?next=${encodeURIComponent(window.location.pathname)}`;
    link.textContent = " Log in";
    form.querySelector(".answer").append(link);
  }

  async function login(form) {
    const response = await fetch(form.action, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams(new FormData(form)),
      redirect: "manual",
    });
    if (response.type === "opaqueredirect") window.location.assign(form.elements.next.value);
    else say(form, `Refused: ${await reason(response)}`, "bad");
  }

  // ---------------------------------------------------------------- crash me

  const BACK_S_MAX = 60;
  const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

  async function crash(form) {
    const response = await fetch(form.action, { method: "POST" });
    if (!response.ok) {
      await refused(form, response);
      return;
    }
    const { pid } = await response.json();
    const sinceMs = Date.now();
    say(form, `Process ${pid} was killed. Waiting for the engine to come back …`, "");
    while (Date.now() - sinceMs < BACK_S_MAX * 1000) {
      await pause(250);
      const response = await fetch("/pages/recovery").catch(() => null);
      if (!response?.ok) continue;
      const recovery = await response.json();
      if (recovery.pid === pid) continue;
      report(form, recovery);
      return;
    }
    say(form, `The engine is not back after ${BACK_S_MAX} s. Only papertape up restarts it automatically.`, "bad");
  }

  function report(form, recovery) {
    const holder = form.parentElement.querySelector("[data-crash-report]");
    const put = (name, text) => { holder.querySelector(`[data-crash-${name}]`).textContent = text; };
    const count = (value) => value.toLocaleString("en-US");
    put("seq", `event ${count(recovery.recovered_seq)}`);
    put("before", recovery.digest_before);
    put("after", recovery.digest_after);
    put("events", count(recovery.replayed_events));
    put("ms", `${recovery.recovery_ms.toFixed(1)} ms`);
    put("verdict", recovery.same ? "✓ The same state, to the last bit." : "✗ The state differs. This is a bug.");
    holder.hidden = false;
    say(form, `Process ${recovery.pid} is back.`, recovery.same ? "good" : "bad");
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const work = form === ask ? command : form.matches("[data-login]") ? login : form.matches("[data-crash]") ? crash : null;
    if (!work) return;
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    say(form, "…", "");
    try {
      await work(form);
    } catch {
      say(form, "The server did not answer. Try again: a command that was carried out is not repeated.", "bad");
    } finally {
      button.disabled = false;
    }
  });
})();
