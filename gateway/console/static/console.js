// The console's script: signs the tab in, fetches each page's data, follows the events, and sends what a person chose.
// The server decides everything; nothing here is a check that it relies on.
"use strict";

(() => {
  const KEY = "wardgate-key";
  const ARM = 700; // ms that a card has to be in sight before it takes a yes
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const place = one("[data-page]");
  let key = sessionStorage.getItem(KEY) || "";
  let arming = 0;

  // --- talking with the gateway ------------------------------------------------------------------------------------

  class Refused extends Error {}

  async function ask(path, options = {}) {
    const answer = await fetch(path, {
      ...options,
      cache: "no-store",
      credentials: "same-origin",
      headers: { ...(key ? { "X-Wardgate-Key": key } : {}), ...(options.headers || {}) },
    }).catch(() => {
      throw new Refused("the gateway does not answer");
    });
    if (answer.ok) return answer;
    const told = await answer.json().catch(() => ({}));
    const words = typeof told.error === "string" ? told.error : (told.error && told.error.message) || answer.statusText;
    if (answer.status === 401) signedOut(words);
    throw new Refused(words);
  }

  async function post(path, body) {
    const headers = { "Content-Type": "application/json" };
    return (await ask(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
  }

  async function fragment(path, background = false) {
    const answer = await ask(`/data${path}`, background ? { headers: { "X-Wardgate-Background": "1" } } : {});
    const made = document.createElement("template");
    made.innerHTML = await answer.text();
    return made.content;
  }

  // --- signing in --------------------------------------------------------------------------------------------------

  function signedOut(why = "") {
    key = "";
    sessionStorage.removeItem(KEY);
    live(false);
    for (const part of all("[data-signed-in]")) part.hidden = true;
    for (const part of all("[data-signed-out]")) part.hidden = false;
    one("[data-signin-said]").textContent = why.startsWith("not signed in") ? "" : why;
    one("[data-head]").replaceChildren();
    place.replaceChildren();
    place.removeAttribute("aria-busy");
  }

  function signedIn(answer) {
    key = answer.key;
    sessionStorage.setItem(KEY, key);
  }

  // A new tab asks the other tabs of this very origin, which no page on another port is.
  const tabs = "BroadcastChannel" in window ? new BroadcastChannel("wardgate") : null;
  if (tabs) {
    tabs.addEventListener("message", (event) => {
      if (event.data === "key?" && key) tabs.postMessage({ key });
    });
  }

  function keyOfAnotherTab() {
    if (!tabs) return Promise.resolve("");
    return new Promise((done) => {
      const heard = (event) => event.data && event.data.key && done(event.data.key);
      tabs.addEventListener("message", heard);
      tabs.postMessage("key?");
      setTimeout(() => done(""), 250);
    });
  }

  async function passkeyIn() {
    const asked = await post("/do/sign-in/options", {});
    signedIn(await post("/do/sign-in", { passkey: await signature(asked) }));
    await open();
  }

  async function signature(options) {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options.publicKey || options);
    return (await navigator.credentials.get({ publicKey })).toJSON();
  }

  async function enrol() {
    const options = await post("/do/passkeys/options", {});
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options.publicKey || options);
    const made = await navigator.credentials.create({ publicKey });
    let kept = await post("/do/passkeys", { passkey: made.toJSON() });
    if (kept.code) {
      one("[data-enrol-said]").textContent =
        `Your ssh key has to sign for it, within 5 minutes: wardgate approver endorse ${kept.code} --key FILE`;
      return;
    }
    if (!kept.id) {
      one("[data-enrol-said]").textContent = "Now touch the passkey that you enrolled before: it has to sign for the new one.";
      kept = await post("/do/passkeys/endorse", { passkey: await signature(kept) });
    }
    one("[data-enrol-said]").textContent = "";
    say("The passkey is enrolled.");
  }

  // --- showing -----------------------------------------------------------------------------------------------------

  const path = () => location.pathname + location.search;

  async function open() {
    for (const part of all("[data-signed-out]")) part.hidden = true;
    for (const part of all("[data-signed-in]")) part.hidden = false;
    const current = one(".bar nav [aria-current]");
    if (current) current.scrollIntoView({ inline: "center", block: "nearest" });
    await Promise.all([head(false), show()]);
    follow();
  }

  async function show(background = false) {
    const focused = document.activeElement && document.activeElement.dataset.row;
    const made = await fragment(path(), background);
    if (background && busy()) return; // somebody began something meanwhile
    place.replaceChildren(made);
    place.removeAttribute("aria-busy");
    dress(place);
    arm();
    const again = focused && one(`[data-row="${CSS.escape(focused)}"]`);
    if (again) again.focus();
  }

  async function head(background = true) {
    const made = await fragment("/head", background);
    const values = one("[data-values]", made).dataset;
    one("[data-count]").textContent = values.waiting === "0" ? "" : values.waiting;
    one("[data-name]").textContent = values.name;
    document.title = document.title.replace(/^(\(\d+\) )?/, values.waiting === "0" ? "" : `(${values.waiting}) `);
    dress(made);
    one("[data-head]").replaceChildren(made);
  }

  function dress(root) {
    for (const time of all("time", root)) {
      const at = new Date(time.dateTime);
      const today = at.toDateString() === new Date().toDateString();
      time.title = time.textContent;
      time.textContent = today
        ? at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" })
        : at.toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
    }
    for (const left of all("[data-left]", root)) left.dataset.end = String(performance.now() + 1000 * left.dataset.left);
    tick();
  }

  function tick() {
    for (const left of all("[data-end]")) {
      const seconds = Math.max(0, Math.round((left.dataset.end - performance.now()) / 1000));
      const text = seconds >= 3600
        ? `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} min`
        : `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
      const clock = one("[data-clock]", left);
      if (clock.textContent !== text) clock.textContent = text;
      left.classList.toggle("soon", seconds <= 60);
    }
  }
  setInterval(tick, 1000);

  function arm() {
    clearTimeout(arming);
    for (const button of all("[data-needs-arming]")) button.disabled = true;
    if (!one("[data-needs-arming]") || document.visibilityState !== "visible") return;
    arming = setTimeout(() => {
      for (const button of all("[data-needs-arming]")) button.disabled = false;
      place.dataset.armed = "yes";
    }, ARM);
  }
  document.addEventListener("visibilitychange", () => {
    if (one("[data-needs-arming]:disabled")) arm();
  });

  let clearing = 0;
  function say(words) {
    const said = one("[data-said]");
    said.textContent = words;
    clearTimeout(clearing);
    clearing = setTimeout(() => { said.textContent = ""; }, 8000);
  }

  // --- events ------------------------------------------------------------------------------------------------------

  let following = false;

  async function follow() {
    if (following) return;
    following = true;
    for (let wait = 500; key; wait = Math.min(wait * 2, 15000)) {
      try {
        const answer = await ask("/events", { headers: { "X-Wardgate-Background": "1" } });
        live(true);
        await listen(answer.body.getReader(), () => { wait = 500; });
      } catch (problem) {
        if (!(problem instanceof Refused) && !(problem instanceof TypeError)) throw problem;
      }
      live(false);
      if (!key) break;
      await new Promise((done) => setTimeout(done, wait));
    }
    following = false;
  }

  function live(yes) {
    one("[data-live-state]").textContent = yes ? "Live" : key ? "Not connected; trying again" : "";
    document.body.dataset.live = yes ? "yes" : "";
  }

  async function listen(reader, heard) {
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true }).replace(/\r\n?/g, "\n");
      const parts = rest.split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const fields = Object.fromEntries(part.split("\n").map((line) => line.split(/: (.*)/s).slice(0, 2)));
        if (fields.event) {
          heard();
          await react(fields.event, JSON.parse(fields.data || "{}"));
        }
      }
    }
  }

  async function react(event, about) {
    if (event === "signed-out") return signedOut("This tab was signed out.");
    if (event === "approval") {
      const news = about.state === "waiting" ? `${about.what} waits for a person` : `${about.what}: ${about.state}`;
      one("[data-news]").textContent = news;
    }
    await head();
    const card = one("[data-card]");
    if (event === "leak") {
      one("[data-news]").textContent = `leak of ${about.what}: ${about.state}`;
      const page = one("[data-leak]"); // shown anew where somebody said something of this very leak: it has to be read again
      const said = page && page.dataset.leak === about.id && !/^(due|owner|overdue)$/.test(about.state);
      if ((said || location.pathname === "/leaks") && !busy()) await show(true);
      return undefined;
    }
    if (event === "held" && location.pathname === "/policy" && !busy()) return show(true);
    const listed = location.pathname === "/" || (card && one(`input[value="${CSS.escape(about.id || "")}"]`));
    const settled = card && card.dataset.card === about.id && card.dataset.state !== about.state;
    if (settled || (listed && !busy())) await show(!settled);
    return undefined;
  }

  // A person is in the middle of something: what they wrote must not be swept away.
  function busy() {
    return Boolean(one("dialog[open]")) || all("[data-page] input").some((input) => input.checked && input.type === "checkbox")
      || all("[data-page] input:not([type])").some((input) => input.value && input.closest("[data-card]"));
  }

  // --- deciding ----------------------------------------------------------------------------------------------------

  const card = () => one("[data-card]");

  async function answer(body, shown = card()) {
    const path = `/do/approvals/${shown.dataset.card}`;
    const whole = { ...body, digest: shown.dataset.digest };
    const signs = body.choice !== "deny" && body.choice !== "bar" && body.choice !== "edit";
    if (signs && (shown.dataset.signed || body.sign)) {
      delete whole.sign;
      whole.passkey = await signature(await post(`${path}/challenge`, whole));
    }
    const told = await post(path, whole);
    if (told.edited) {
      location.assign(`/approvals/${told.id}`);
      return;
    }
    for (const dialog of all("dialog[open]")) dialog.close();
    await Promise.all([show(), head()]);
    say(`${told.state === "waiting" ? "Counted; it needs one more person" : told.state}: ${told.id}`);
    const title = one("[data-card] h2");
    title.tabIndex = -1;
    title.focus();
  }

  async function aboutLeak(body) {
    const shown = one("[data-leak]").dataset;
    const told = await post(`/do/leaks/${shown.leak}`, { ...body, was: shown.was });
    for (const dialog of all("dialog[open]")) dialog.close();
    await show();
    say(`${told.state}: ${told.id}`);
    const title = one("[data-leak] h2");
    title.tabIndex = -1;
    title.focus();
  }

  const forms = {
    once: (form) => answer({ choice: "once", confirm: form.elements.confirm.value.trim() }),
    deny: (form) => answer({ choice: form.dataset.choice, note: form.elements.note.value }),
    edit: (form) => answer({ choice: "edit", arguments: form.elements.arguments.value }),
    grant: (form) => {
      const parts = form.elements;
      const values = all("[name=value]:checked", form).map((box) => box.value);
      if (form.dataset.choice === "vouch" && !values.length) throw new Refused("choose at least one value");
      return answer({
        choice: form.dataset.choice,
        minutes: Number(parts.minutes.value),
        uses: Number(parts.uses.value),
        note: parts.note ? parts.note.value : "",
        values,
        also: form.dataset.choice === "vouch" ? [] : all(".plan [name=row]").map((box) => box.value),
        ...(parts.confirm ? { confirm: parts.confirm.value.trim() } : {}),
      });
    },
    plan: async (form, submitter) => {
      const chosen = all("[name=row]:checked", form);
      if (!chosen.length) throw new Refused("choose at least one call");
      const ended = [];
      for (const box of chosen) {
        try {
          await post(`/do/approvals/${box.value}`, { choice: submitter.value, digest: box.dataset.digest });
          ended.push(box.value);
        } catch (problem) {
          if (!(problem instanceof Refused)) throw problem;
          say(problem.message);
        }
      }
      await Promise.all([show(), head()]);
      say(`${ended.length} of ${chosen.length} ${submitter.value === "deny" ? "denied" : "approved"}`);
    },
    label: async (form) => {
      const effect = new FormData(form).get("effect");
      if (!effect) throw new Refused("choose what it does");
      await post(`/do/approvals/${card().dataset.card}/label`, { effect });
      say("The label is written, and the call is decided again.");
      await Promise.all([show(), head()]);
    },
    freeze: async (form) => {
      const { upstream, session } = form.dataset;
      const what = upstream || session ? { upstream: upstream || "", session: session || "" } : { all: true };
      await post("/do/freeze", { ...what, note: form.elements.note.value });
      form.closest("dialog").close();
      form.reset();
      await Promise.all([show(), head()]);
      say("Frozen.");
    },
    leak: (form) => aboutLeak({
      choice: form.dataset.choice,
      note: form.elements.note.value,
      ...(form.elements.days ? { days: Number(form.elements.days.value) } : {}),
    }),
    held: async (form) => {
      const body = Object.fromEntries(new FormData(form));
      if (body.confirm) body.confirm = body.confirm.trim();
      const told = await post("/do/held", body);
      await show();
      say(`Accepted: ${told.accepted}`);
      (one(".holding h3") || one("main")).focus();
    },
    policy: async (form) => {
      const told = await post("/do/policy", { digest: form.elements.digest.value });
      await show();
      say(told.restart ? "Accepted: it counts from the next start on." : "Accepted: it counts now.");
      one("main").focus();
    },
    filters: (form) => {
      const asked = [...new FormData(form)].filter(([name, value]) => value && !(name === "kind" && value === "outcome"));
      location.assign(`/decisions?${new URLSearchParams(asked)}`);
    },
  };

  const acts = {
    once: () => answer({ choice: "once" }),
    "once-passkey": () => answer({ choice: "once", sign: true }),
    open: (button) => reveal(button.dataset.opens),
    close: (button) => button.closest("dialog").close(),
    keys: () => reveal("keys"),
    "freeze-all": () => freezing("", ""),
    freeze: (button) => freezing(button.dataset.upstream, button.dataset.session),
    thaw: async (button) => {
      const { upstream, session, all: whole } = button.dataset;
      await post("/do/thaw", { upstream: upstream || "", session: session || "", all: Boolean(whole) });
      await Promise.all([show(), head()]);
      say("Thawed.");
    },
    leak: ({ dataset }) => aboutLeak({ choice: dataset.choice, ...(dataset.days ? { days: Number(dataset.days) } : {}) }),
    revoke: async (button) => {
      await post(`/do/grants/${button.dataset.id}/revoke`, {});
      await show();
      say("Revoked.");
    },
    "sign-out": async () => {
      await post("/do/sign-out", {});
      signedOut("You are signed out.");
    },
    "passkey-in": passkeyIn,
    enrol,
  };

  function reveal(name) {
    const dialog = one(`[data-dialog="${name}"]`);
    if (!dialog || dialog.open) return;
    dialog.showModal();
    const fact = one("[data-covers]", dialog);
    if (fact) run(fact, async () => fact.replaceChildren(await fragment(`${location.pathname}/covers?choice=${name}`)));
  }

  function freezing(upstream, session) {
    const form = one('[data-form="freeze"]');
    form.dataset.upstream = upstream || "";
    form.dataset.session = session || "";
    one("[data-freeze-what]", form).textContent = upstream ? `upstream ${upstream}` : session ? "this session" : "everything";
    reveal("freeze");
  }

  // Where a problem is told: in the form or dialog it belongs to, else beside the card's buttons, else below.
  function spot(element) {
    const near = element.closest("form") || element.closest("section");
    return (near && one(".why", near)) || (element.closest("[data-card]") && one("[data-card-said]")) || one("[data-said]");
  }

  async function run(element, work) {
    const words = spot(element);
    words.textContent = "";
    try {
      await work();
    } catch (problem) {
      if (problem instanceof Refused) words.textContent = problem.message;
      else if (problem instanceof DOMException) words.textContent = "The passkey was not used.";
      else throw problem;
    }
  }

  document.addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    if (event.submitter && event.submitter.disabled) return;
    run(form, () => forms[form.dataset.form](form, event.submitter));
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) run(button, () => acts[button.dataset.do](button));
  });

  // --- keys --------------------------------------------------------------------------------------------------------

  function move(step) {
    const shown = card();
    if (shown) {
      const next = step > 0 ? shown.dataset.after : shown.dataset.before;
      if (next) location.assign(`/approvals/${next}`);
      return;
    }
    const rows = all("a[data-row]");
    if (!rows.length) return;
    const at = rows.indexOf(document.activeElement);
    rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + step, 0), rows.length - 1)].focus();
  }

  function press(name) {
    const field = one(`[data-page] [data-key-focus="${name}"]`);
    if (field) {
      field.focus();
      return true;
    }
    const button = one(`[data-page] [data-key="${name}"]`);
    if (!button) return false;
    button.click(); // one that is not armed yet is disabled, and does nothing
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (!key || event.ctrlKey || event.metaKey || event.altKey || event.repeat || one("dialog[open]")) return;
    const field = event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select");
    if (field && !field.closest("dialog:not([open])")) return; // a closed dialog keeps the focus for a moment
    const name = event.key;
    if (name === "j" || name === "k") move(name === "j" ? 1 : -1);
    else if (name === "?") reveal("keys");
    else if (name === "u" && card()) location.assign("/");
    else if (name === "u" && one("[data-leak]")) location.assign("/leaks");
    else if (!/^[asxpvedbrtcfo]$/.test(name) || !press(name)) return;
    event.preventDefault();
  });

  // --- the beginning -----------------------------------------------------------------------------------------------

  async function begin() {
    const link = /^#key=([\w-]+)$/.exec(location.hash);
    if (link) {
      history.replaceState(null, "", path());
      signedIn(await post("/do/sign-in", { link: link[1] }));
    }
    if (!key) key = await keyOfAnotherTab();
    if (!key) return signedOut();
    sessionStorage.setItem(KEY, key);
    return open();
  }

  begin().catch((problem) => {
    if (!(problem instanceof Refused)) throw problem;
    if (key) {
      const words = document.createElement("p");
      words.className = "why";
      words.textContent = problem.message;
      place.replaceChildren(words);
      place.removeAttribute("aria-busy");
    } else {
      signedOut(problem.message);
    }
  });
})();
