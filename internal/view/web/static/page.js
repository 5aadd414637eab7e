// What a page does besides showing: it fetches its fragments anew when something has changed, and listens to keys. All of it works
// without this, too.
const main = document.getElementById("main");
const told = document.getElementById("told");

// tell says something to who listens to the page instead of looking at it, not more often than each 10 seconds.
let said = 0;
function tell(text) {
  if (Date.now() - said < 10000 || told.textContent === text) return;
  said = Date.now();
  told.textContent = text;
}

// fetchPage gives the page as a document. XMLHttpRequest parses it without running anything in it.
function fetchPage(url) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.responseType = "document";
    request.setRequestHeader("Kanmon-Refresh", "1");
    request.timeout = 15000;
    // What is no page of kanmon's, such as a proxy's word that kanmon-view starts anew, changes nothing that is shown.
    request.onload = () => (request.status === 401 ? location.reload() : request.status === 200 && request.response ? resolve(request.response) : reject(new Error("no page")));
    request.onerror = request.ontimeout = () => reject(new Error("no answer"));
    request.send();
  });
}

// swap puts the fragments of a newer page in the place of the old ones. A fragment in which somebody types, or has opened something, waits.
function swap(fresh) {
  for (const old of document.querySelectorAll("[data-fragment]")) {
    const next = fresh.getElementById(old.id);
    if (!next) {
      old.remove();
    } else if (!busy(old) && old.outerHTML !== next.outerHTML) {
      replace(old, next);
    }
  }
  for (const next of fresh.querySelectorAll("[data-fragment]")) {
    if (!document.getElementById(next.id)) addBehind(next, fresh);
  }
  const fresher = fresh.querySelector("footer time");
  const time = document.querySelector("footer time");
  if (fresher && time) time.replaceWith(document.importNode(fresher, true));
}

function addBehind(next, fresh) {
  const before = [...fresh.querySelectorAll("[data-fragment]")].filter((f) => f !== next && f.compareDocumentPosition(next) & Node.DOCUMENT_POSITION_FOLLOWING);
  const anchor = before.map((f) => document.getElementById(f.id)).filter(Boolean).pop();
  if (anchor) anchor.after(document.importNode(next, true));
  else main.append(document.importNode(next, true));
}

function busy(part) {
  const at = document.activeElement;
  return part.querySelector("details[open]") !== null || (part.contains(at) && ["INPUT", "SELECT", "TEXTAREA"].includes(at.tagName)) ||
    (!getSelection().isCollapsed && part.contains(getSelection().anchorNode));
}

// replace keeps the focus on what is the same link or button in the new one.
function replace(old, next) {
  const at = document.activeElement;
  const same = old.contains(at) && at !== old ? (at.id ? "#" + CSS.escape(at.id) : at.href ? `a[href="${CSS.escape(at.getAttribute("href"))}"]` : "") : "";
  const copy = document.importNode(next, true);
  old.replaceWith(copy);
  if (same) copy.querySelector(same)?.focus();
}

// follow fetches a live page when the server says that something has changed, at most each 2 seconds, and only while somebody can see it.
function follow() {
  const note = document.getElementById("fresh");
  let source = null, due = false, running = false, last = 0;
  const refresh = async () => {
    if (running) { due = true; return; }
    running = true;
    due = false;
    await new Promise((done) => setTimeout(done, Math.max(0, last + 2000 - Date.now())));
    try {
      swap(await fetchPage(location.href));
      if (note) note.textContent = "live";
      const state = document.querySelector("#state");
      if (state) tell(state.textContent.trim());
    } catch {
      if (note) note.textContent = "no answer: what is shown is of then";
    }
    last = Date.now();
    running = false;
    if (due) refresh();
  };
  const listen = () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else if (!source) {
      source = new EventSource("/live");
      source.addEventListener("changed", refresh);
      source.onerror = () => {
        if (note) note.textContent = "no answer: what is shown is of then";
        if (source?.readyState !== EventSource.CLOSED) return; // it tries again by itself
        source = null; // too many are told of changes: the page asks, and whether there is room by then
        setTimeout(() => { if (!document.hidden && !source) { refresh(); listen(); } }, 10000);
      };
    }
  };
  document.addEventListener("visibilitychange", listen);
  listen();
}

// trace shows the dialogue of a session while it happens.
function trace(into) {
  const source = new EventSource(into.dataset.trace);
  const begin = into.textContent;
  source.addEventListener("line", (e) => {
    const stay = into.scrollTop + into.clientHeight >= into.scrollHeight - 20;
    into.textContent = (into.textContent === begin ? "" : into.textContent).slice(-200000) + JSON.parse(e.data);
    if (stay) into.scrollTop = into.scrollHeight;
  });
  source.addEventListener("end", (e) => {
    source.close();
    into.append("\n" + JSON.parse(e.data) + "\n");
  });
}

// again fetches a page that is about to say more, until it has said all.
async function again() {
  while (document.querySelector("[data-again]")) {
    await new Promise((done) => setTimeout(done, 1000));
    if (document.hidden) continue;
    try {
      swap(await fetchPage(location.href));
    } catch {
      // the next time
    }
  }
}

// keys: / is the search, g and a letter a page of the menu.
function keys() {
  let went = 0;
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.altKey || e.metaKey || e.target.closest("input, select, textarea")) return;
    if (e.key === "/") {
      const box = document.querySelector("[data-find]");
      e.preventDefault();
      if (box) box.focus();
      else if (document.querySelector('nav a[data-key="f"]')) location.href = document.querySelector('nav a[data-key="f"]').href;
    } else if (e.key === "g") {
      went = Date.now();
    } else if (Date.now() - went < 1500) {
      const to = document.querySelector(`nav a[data-key="${CSS.escape(e.key)}"]`);
      if (to) location.href = to.href;
    }
  });
}

keys();
if (main.hasAttribute("data-live")) follow();
again();
for (const into of document.querySelectorAll("[data-trace]")) trace(into);
