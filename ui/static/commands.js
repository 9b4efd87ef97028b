// Commands: forms that are sent as JSON, answered in words. A login without leaving its page when the token is wrong.
(() => {
  "use strict";

  const fields = {
    pause: (target) => ({ strategy: target }),
    resume: (target) => ({ strategy: target }),
    close: (target, said) => ({ strategy: target, symbol: said.get("symbol") }),
    kill: (target) => ({ scope: target }),
    reset: (target) => {
      const at = target.lastIndexOf(":");
      return { scope: target.slice(0, at), trip_seq: Number(target.slice(at + 1)) };
    },
  };
  const done = { pause: "Paused", resume: "Resumed", close: "Closing at the next open", kill: "Killed", reset: "Reset" };

  function say(form, text, kind) {
    const answer = form.querySelector(".answer");
    answer.textContent = text;
    answer.className = `answer ${kind}`;
  }

  /** Why a request was refused, as the server says it. */
  async function reason(response) {
    try {
      const problem = await response.json();
      return problem.detail || problem.title;
    } catch {
      return `the server answered ${response.status}`;
    }
  }

  async function command(form) {
    const kind = form.dataset.command;
    const said = new FormData(form);
    const body = { actor: "dashboard", reason: said.get("why").trim(), ...fields[kind](said.get("target") ?? "", said) };
    const response = await fetch(form.action, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (response.ok) {
      const accepted = await response.json();
      say(form, `${done[kind]}. It is event ${accepted.first_seq.toLocaleString("en-US")} of the log.`, "good");
      form.reset();
      document.activeElement?.blur();
      return;
    }
    await refused(form, response);
  }

  async function refused(form, response) {
    if (response.status !== 401) {
      say(form, `Refused: ${await reason(response)}`, "bad");
      return;
    }
    say(form, "Not logged in. Log in with the token first.", "bad");
    const link = document.createElement("a");
    link.href = `/login?next=${encodeURIComponent(window.location.pathname)}`;
    link.textContent = " To the login.";
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
      const asked = await fetch("/pages/recovery").catch(() => null);
      if (!asked?.ok) continue;
      const found = await asked.json();
      if (found.pid === pid) continue;
      report(form, found);
      return;
    }
    say(form, `The engine is not back after ${BACK_S_MAX} s. It comes back by itself only where papertape up keeps it.`, "bad");
  }

  function report(form, found) {
    const holder = form.parentElement.querySelector("[data-crash-report]");
    const put = (name, text) => { holder.querySelector(`[data-crash-${name}]`).textContent = text; };
    const count = (value) => value.toLocaleString("en-US");
    put("seq", `event ${count(found.recovered_seq)}`);
    put("before", found.digest_before);
    put("after", found.digest_after);
    put("events", count(found.replayed_events));
    put("ms", `${found.recovery_ms.toFixed(1)} ms`);
    put("verdict", found.same ? "✓ The same state, to the last bit." : "✗ The state differs. This must never be.");
    holder.hidden = false;
    say(form, `Process ${found.pid} is back.`, found.same ? "good" : "bad");
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const work = form.matches("[data-command]") ? command : form.matches("[data-login]") ? login : form.matches("[data-crash]") ? crash : null;
    if (!work) return;
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    say(form, "…", "");
    try {
      await work(form);
    } catch {
      say(form, "The server did not answer. Nothing is known about what it did; look at the events.", "bad");
    } finally {
      button.disabled = false;
    }
  });
})();
