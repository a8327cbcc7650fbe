// Keeps a page up to date, keeps what is being written, and listens to keys.
// Everything here works without it, by loading the page again.
"use strict";
const main = document.getElementById("main");
const PACE_MS = 400;
let busy = false;
let again = false;

// Parts marked data-live come anew from the server, which has escaped them.
async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.status === 401) return tell("Your session has ended. What you write is kept; load the page again to sign in.");
    if (!answer.ok) return tell("The server has trouble. This page is not up to date.");
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) swap(part, fresh.getElementById(part.id));
    if (document.title !== fresh.title) document.title = fresh.title;
    tell("");
  } catch {
    tell("The server does not answer. This page is not up to date; what you write is kept.");
  } finally {
    setTimeout(() => { busy = false; if (again) { again = false; refresh(); } }, PACE_MS);
  }
}

// A part in which somebody works stays as it is; so do questions that are still the same.
function swap(part, fresh) {
  if (!fresh || part.contains(document.activeElement) && part.querySelector("form")) return;
  if (part.dataset.same !== undefined && part.dataset.same === fresh.dataset.same) return;
  if (part.innerHTML === fresh.innerHTML) return;
  const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const scrolled = [...part.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
  const put = document.adoptNode(fresh);
  part.replaceWith(put);
  put.querySelectorAll(".scroll").forEach((each, n) => { each.scrollLeft = scrolled[n] ?? 0; });
  if (focused) put.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  keepForms(put);
}

function tell(text) {
  let bar = document.querySelector(".offline");
  if (!text) return bar?.remove();
  if (!bar) {
    bar = document.createElement("p");
    bar.className = "offline";
    bar.setAttribute("role", "status");
    document.body.append(bar);
  }
  bar.textContent = text;
}

if (main.dataset.stream) {
  const source = new EventSource(main.dataset.stream);
  source.onmessage = refresh;
  source.addEventListener("rest", refresh);
  source.addEventListener("end", () => { source.close(); refresh(); });
  source.addEventListener("delta", (event) => {
    for (const said of JSON.parse(event.data).words) {
      for (const part of document.querySelectorAll("[data-step]")) {
        const step = part.dataset.step;
        if (said.conversation === step || said.conversation.startsWith(step + ":")) part.textContent = said.text;
      }
    }
  });
  source.addEventListener("trouble", (event) => tell(JSON.parse(event.data).what));
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) refresh(); };
}
if (main.dataset.again) setInterval(() => { if (!document.hidden) refresh(); }, 1000 * Number(main.dataset.again));

// What is being written outlives the page, the session and the server, until it is sent or a week old.
const WEEK_MS = 7 * 24 * 3600 * 1000;
const KEPT = "manta ";

function keepForms(root) {
  for (const form of root.querySelectorAll("form[data-keep]")) {
    const name = KEPT + form.dataset.keep;
    restore(form, read(name));
    form.addEventListener("input", () => write(name, written(form)));
  }
}

function fields(form) {
  return [...form.elements].filter((each) => each.name && each.type !== "hidden" && each.tagName !== "BUTTON");
}

function written(form) {
  const changed = {};
  for (const each of fields(form)) {
    if (each.type === "checkbox") { if (each.checked !== each.defaultChecked) changed[each.name] = each.checked; }
    else if (each.tagName === "SELECT") { if (!each.selectedOptions[0]?.defaultSelected) changed[each.name] = each.value; }
    else if (each.value !== each.defaultValue) changed[each.name] = each.value;
  }
  return changed;
}

function restore(form, kept) {
  let any = false;
  for (const each of fields(form)) {
    const value = kept?.fields[each.name];
    if (value === undefined) continue;
    if (each.type === "checkbox") each.checked = value; else each.value = value;
    for (let part = each.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
    any = any || each.name !== "by";
  }
  if (!any) return;
  const note = document.createElement("p");
  note.className = "restored";
  note.setAttribute("role", "status");
  note.textContent = "What you had written here is back.";
  form.append(note);
}

function read(name) {
  try { return JSON.parse(localStorage.getItem(name)); } catch { return null; }
}

function write(name, changed) {
  try {
    if (Object.keys(changed).length) localStorage.setItem(name, JSON.stringify({ at: Date.now(), fields: changed }));
    else localStorage.removeItem(name);
  } catch { /* no room, or not allowed: the page works without */ }
}

try {
  for (const name of Object.keys(localStorage)) {
    if (name.startsWith(KEPT) && Date.now() - (read(name)?.at ?? 0) > WEEK_MS) localStorage.removeItem(name);
  }
} catch { /* not allowed */ }
keepForms(document);

// Keys: those of links, and through what stands in rows.
const ABOUT = [["j k", "next, earlier"], ["Enter", "open"], ["u", "all runs"], ["r d e l", "run, diff, evidence, log"],
  ["n p", "next, earlier page"], ["/", "search"], ["a", "to the question"], ["?", "this help"]];

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
  else if (event.key === "a") document.querySelector(".question textarea[name=comment]")?.focus();
  else if (event.key === "?") help();
  else if (!press(event.key)) return;
  event.preventDefault();
});

function step(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.indexOf(document.activeElement);
  rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)]?.focus();
}

function press(key) {
  const target = [...document.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key)
    ?? (key === "n" || key === "p" ? document.querySelector(`[rel=${key === "n" ? "next" : "prev"}]`) : null);
  if (!target) return false;
  if (target.tagName === "A") target.click(); else target.focus();
  return true;
}

function help() {
  const box = document.createElement("dialog");
  box.setAttribute("aria-label", "Keys");
  const list = document.createElement("dl");
  for (const [keys, words] of ABOUT) {
    const term = document.createElement("dt");
    for (const each of keys.split(" ")) { const key = document.createElement("kbd"); key.textContent = each; term.append(key, " "); }
    const said = document.createElement("dd");
    said.textContent = words;
    list.append(term, said);
  }
  box.append(list);
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}
