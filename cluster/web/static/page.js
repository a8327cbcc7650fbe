// Keeps a page up to date. Everything here works without it, by loading the page again.
"use strict";
const main = document.getElementById("main");
let timer = 0;
let busy = false;

// Parts marked data-live come anew from the server, which has escaped them.
async function refresh() {
  if (busy) return later();
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.status === 401) return tell("Your session has ended. Load the page again to sign in.");
    if (!answer.ok) return tell("The server has trouble. This page is not up to date.");
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) swap(part, fresh.getElementById(part.id));
    tell("");
  } catch {
    tell("The server does not answer. This page is not up to date.");
  } finally {
    busy = false;
  }
}

function swap(part, fresh) {
  if (!fresh || part.contains(document.activeElement)) return;
  if (part.dataset.key !== undefined && part.dataset.key === fresh.dataset.key) return;
  if (part.innerHTML !== fresh.innerHTML) part.replaceWith(document.adoptNode(fresh));
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(refresh, 400);
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
  source.onmessage = later;
  source.addEventListener("end", () => { source.close(); later(); });
  source.addEventListener("trouble", (event) => tell(JSON.parse(event.data).what));
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) refresh(); };
}
if (main.dataset.again) setInterval(() => { if (!document.hidden) refresh(); }, 1000 * Number(main.dataset.again));
