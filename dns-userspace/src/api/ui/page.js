"use strict";
// Records, sources, targets and changes, by the API alone. Text goes into the page as text, never as markup.

const MOST_EVENTS = 200;
const REFRESH_MS = 5000;
const byId = (id) => document.getElementById(id);
let token = "";
let next = null;

function element(tag, ...parts) {
  const made = document.createElement(tag);
  for (const part of parts) if (part !== undefined && part !== null) made.append(part);
  return made;
}

function row(...cells) {
  return element("tr", ...cells.map((cell) => element("td", cell)));
}

function button(text, act) {
  const made = element("button", text);
  made.type = "button";
  made.addEventListener("click", () => attempt(act));
  return made;
}

function time(text) {
  return text ? new Date(text).toLocaleString() : "";
}

function say(text) {
  byId("error").textContent = text;
}

// Does something; what goes wrong is shown.
async function attempt(act) {
  say("");
  try {
    await act();
  } catch (error) {
    say(error.message);
  }
}

function headers() {
  return token ? { authorization: "Bearer " + token } : {};
}

// Asks the API. An error has what the API says is wrong.
async function ask(method, path, body) {
  // A body's type is wanted of every change, so that no other site can have a browser make one.
  const type = method === "GET" ? {} : { "content-type": "application/json" };
  const response = await fetch(path, {
    method,
    headers: { ...headers(), ...type },
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
  });
  const text = await response.text();
  let content = null;
  try {
    content = text ? JSON.parse(text) : null;
  } catch {
    content = null;
  }
  if (!response.ok) {
    const error = new Error(content?.detail || response.status + " " + response.statusText);
    error.status = response.status;
    throw error;
  }
  return content;
}

function recordPath(record) {
  const query = new URLSearchParams({ type: record.type });
  if (record.view) query.set("view", record.view);
  return "/api/v1/records/" + encodeURIComponent(record.name) + "?" + query;
}

function showRecord(record) {
  const isOurs = record.source === "api" && !record.locked;
  const remove = button("Delete", async () => {
    const what = record.name + " " + record.type;
    if (!window.confirm("Delete " + what + "?")) return;
    await ask("DELETE", recordPath(record));
    await listRecords(false);
  });
  const source = record.object ? record.source + ": " + record.object : record.source;
  const view = record.view ? " (view " + record.view + ")" : "";
  const cells = [record.name + view, record.type, record.ttl, [record.value].flat().join("\n"), source];
  byId("records").append(row(...cells.map(String), isOurs ? remove : null));
}

async function listRecords(goesOn) {
  const query = new URLSearchParams({ limit: 100 });
  const text = byId("text").value.trim();
  if (text) query.set("q", text);
  if (goesOn && next) query.set("cursor", next);
  const page = await ask("GET", "/api/v1/records?" + query);
  if (!goesOn) byId("records").replaceChildren();
  page.records.forEach(showRecord);
  next = page.next;
  byId("more").hidden = !next;
}

function sync(source) {
  const place = [source.kind, source.name].map(encodeURIComponent).join("/");
  return ask("POST", "/api/v1/sources/" + place + "/sync");
}

async function listSources() {
  const { sources } = await ask("GET", "/api/v1/sources");
  byId("sources").replaceChildren(...sources.map((source) => row(
    source.kind + "/" + source.name, source.state, time(source.last_sync), String(source.objects),
    String(source.records), source.error || "",
    button("Look now", async () => {
      await sync(source);
      await listSources();
    }),
  )));
  byId("sync-all").hidden = sources.length === 0;
  return sources;
}

async function listTargets() {
  const { targets } = await ask("GET", "/api/v1/targets");
  byId("targets").replaceChildren(...targets.map((target) => row(
    target.target, target.state, time(target.last_read), String(target.records), String(target.pending_count),
    String(target.drift_count), target.error || "",
  )));
  const pending = targets.flatMap((target) => target.pending.map((change) => element("li",
    target.target + ": " + change.change + " " + change.record + ", tried " + change.attempts + " times: " +
    change.reason)));
  byId("pending").replaceChildren(...pending);
}

function showEvent(event) {
  const words = { added: "Added", updated: "Updated", deleted: "Deleted", reloaded: "Read again", reset: "Skipped" };
  const { data } = event;
  const what = data.name ? data.name + " " + data.type + " " + [data.value || []].flat().join(" ") : data.source || "";
  const who = data.actor ? " by " + data.actor : "";
  const line = "[" + new Date().toLocaleTimeString() + "] " + (words[event.name] || event.name) + " " + what + who;
  byId("events").prepend(element("li", line));
  while (byId("events").children.length > MOST_EVENTS) byId("events").lastChild.remove();
}

// One event of a stream (text/event-stream); null where it is none.
function parseEvent(text) {
  const event = { name: "message", id: null, data: "" };
  for (const line of text.split("\n")) {
    const [, field, value] = /^(event|id|data): ?(.*)$/.exec(line) || [];
    if (field === "event") event.name = value;
    if (field === "id") event.id = value;
    if (field === "data") event.data += value;
  }
  if (!event.data) return null;
  event.data = JSON.parse(event.data);
  return event;
}

// Follows changes for as long as the page is open, and goes on behind the last one after an interruption. The browser's
// own reader of such streams cannot send a token.
async function follow() {
  let last = null;
  for (;;) {
    try {
      const since = last ? { "last-event-id": last } : {};
      const response = await fetch("/api/v1/watch", { headers: { ...headers(), ...since }, cache: "no-store" });
      if (!response.ok) throw new Error(response.status + " " + response.statusText);
      byId("stream").textContent = "Changes are shown as they are made.";
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const event of parts.map(parseEvent).filter(Boolean)) {
          last = event.id || last;
          showEvent(event);
        }
      }
    } catch (error) {
      byId("stream").textContent = "Changes cannot be followed: " + error.message;
    }
    await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
  }
}

let isFollowed = false;

async function show() {
  try {
    await listRecords(false);
  } catch (error) {
    byId("access").hidden = error.status !== 401;
    if (token || error.status !== 401) say(error.message);
    return;
  }
  byId("access").hidden = true;
  document.querySelector("main").hidden = false;
  // A token may be good for records and for nothing else.
  const refresh = () => Promise.allSettled([listSources(), listTargets()]);
  await refresh();
  if (isFollowed) return;
  isFollowed = true;
  setInterval(refresh, REFRESH_MS);
  follow();
}

byId("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  attempt(show);
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(() => listRecords(false));
});
byId("more").addEventListener("click", () => attempt(() => listRecords(true)));
byId("sync-all").addEventListener("click", () => attempt(async () => {
  const sources = await listSources();
  await Promise.all(sources.map(sync));
  await listSources();
}));
byId("create").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const value = byId("values").value.split("\n").map((line) => line.trim()).filter(Boolean);
    const record = { name: byId("name").value.trim(), type: byId("type").value.trim().toUpperCase() };
    await ask("PUT", recordPath(record), { ttl: Number(byId("ttl").value), value });
    byId("values").value = "";
    await listRecords(false);
  });
});
attempt(show);
