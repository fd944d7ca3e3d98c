"use strict";
// Shows an OpenAPI document. Text goes into the page as text, never as markup.

const byId = (id) => document.getElementById(id);

function element(tag, content, className) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const part of [content].flat()) if (part !== undefined && part !== null) made.append(part);
  return made;
}

function table(head, rows) {
  const line = (cells, tag) => element("tr", cells.map((cell) => element(tag, cell)));
  return element("table", [line(head, "th"), ...rows.map((row) => line(row, "td"))]);
}

// A schema in a few words; what it refers to is written out, up to a depth.
function shape(schema, all, depth) {
  if (!schema || schema === true) return "any";
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return depth > 4 ? name : shape(all[name], all, depth + 1);
  }
  const several = schema.oneOf || schema.anyOf || schema.allOf;
  if (several) return several.map((one) => shape(one, all, depth + 1)).join(schema.allOf ? " and " : " or ");
  const types = [schema.type].flat().filter(Boolean);
  if (types.includes("array")) return "[" + shape(schema.items, all, depth + 1) + ", …]";
  if (schema.properties) {
    const pad = "  ".repeat(depth + 1);
    const required = schema.required || [];
    const members = Object.entries(schema.properties).map(([name, member]) => {
      const note = member.description ? "   // " + member.description.split("\n")[0] : "";
      return pad + name + (required.includes(name) ? "" : "?") + ": " + shape(member, all, depth + 1) + note;
    });
    return "{\n" + members.join("\n") + "\n" + "  ".repeat(depth) + "}";
  }
  return schema.enum ? schema.enum.map((value) => JSON.stringify(value)).join(" | ") : types.join(" | ") || "any";
}

function bodies(content, all) {
  return Object.entries(content || {}).map(([type, body]) =>
    element("div", [element("code", type), element("pre", shape(body.schema, all, 0))]));
}

function call(method, path, operation, all) {
  const parts = [];
  if (operation.parameters?.length) {
    parts.push(element("h3", "Parameters"), table(["Name", "In", "Type", ""], operation.parameters.map((one) => [
      element("code", one.name + (one.required ? "" : "?")), one.in, shape(one.schema, all, 1), one.description || "",
    ])));
  }
  if (operation.requestBody) parts.push(element("h3", "Body"), ...bodies(operation.requestBody.content, all));
  parts.push(element("h3", "Answers"));
  for (const [status, response] of Object.entries(operation.responses || {})) {
    const isProblem = response.content && "application/problem+json" in response.content;
    parts.push(element("p", [element("b", status), " " + (response.description || "")]));
    if (!isProblem) parts.push(...bodies(response.content, all));
  }
  const title = element("summary", [
    element("span", method.toUpperCase(), "method"), element("code", path), " " + (operation.summary || ""),
  ]);
  const shown = element("details", [title, element("div", [operation.description || "", ...parts])]);
  shown.id = operation.operationId || method + path;
  shown.dataset.words = [method, path, operation.summary, operation.description].join(" ").toLowerCase();
  return shown;
}

function show(api) {
  const all = api.components?.schemas || {};
  const groups = new Map((api.tags || []).map((tag) => [tag.name, { text: tag.description, calls: [] }]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of ["get", "post", "put", "patch", "delete"]) {
      if (!item[method]) continue;
      const tag = item[method].tags?.[0] || "other";
      if (!groups.has(tag)) groups.set(tag, { text: "", calls: [] });
      groups.get(tag).calls.push(call(method, path, item[method], all));
    }
  }
  const sections = [...groups].filter(([, group]) => group.calls.length).map(([name, group]) =>
    element("section", [element("h2", name), element("p", group.text || ""), ...group.calls]));
  byId("calls").replaceChildren(...sections);
  byId("filter").hidden = false;
}

async function load(token) {
  const headers = token ? { authorization: "Bearer " + token } : {};
  byId("error").textContent = "";
  try {
    const response = await fetch("/openapi.json", { headers, cache: "no-store" });
    const content = await response.json();
    if (response.ok) {
      byId("access").hidden = true;
      show(content);
    } else {
      byId("access").hidden = response.status !== 401;
      if (token || response.status !== 401) byId("error").textContent = content.detail || response.statusText;
    }
  } catch (error) {
    byId("error").textContent = "The document cannot be loaded: " + error.message;
  }
}

byId("access").addEventListener("submit", (event) => {
  event.preventDefault();
  load(byId("token").value.trim());
});
byId("filter").addEventListener("input", (event) => {
  const word = event.target.value.toLowerCase();
  for (const one of document.querySelectorAll("details")) one.hidden = !one.dataset.words.includes(word);
});
load();
