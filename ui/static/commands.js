// Forms: commands are sent as JSON and answered in text; a login stays on its page if the token is wrong.
(() => {
  "use strict";

  const fields = {
    pause: (target) => ({ strategy: target }),
    resume: (target) => ({ strategy: target }),
    close: (target, data) => ({ strategy: target, symbol: data.get("symbol") }),
    kill: (target) => ({ scope: target }),
    reload: () => ({}),
    reset: (target) => {
      const at = target.lastIndexOf(":");
      return { scope: target.slice(0, at), trip_seq: Number(target.slice(at + 1)) };
    },
  };
  const done = { pause: "Paused", resume: "Resumed", close: "Closing at the next open", kill: "Killed", reset: "Reset", reload: "Reloaded" };

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

  async function command(form) {
    const kind = form.dataset.command;
    const data = new FormData(form);
    const body = { actor: "dashboard", reason: data.get("why").trim(), ...fields[kind](data.get("target") ?? "", data) };
    const response = await fetch(form.action, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (response.ok) {
      const accepted = await response.json();
      const changes = (accepted.changes ?? []).map((line) => `\n${line}`).join("");
      say(form, `${done[kind]}: event ${accepted.first_seq.toLocaleString("en-US")} of the log.${changes}`, "good");
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
    const work = form.matches("[data-command]") ? command : form.matches("[data-login]") ? login : form.matches("[data-crash]") ? crash : null;
    if (!work) return;
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    say(form, "…", "");
    try {
      await work(form);
    } catch {
      say(form, "The server did not answer. The command may have been executed: check the events.", "bad");
    } finally {
      button.disabled = false;
    }
  });
})();
