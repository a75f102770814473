// Draws the reference from openapi.json. All text enters the page as text, never as markup.
"use strict";

const at = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function shape(schema) {
  if (!schema) return "";
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return make("a", { href: "#schema-" + name, textContent: name });
  }
  const some = schema.anyOf || schema.oneOf;
  if (some) return join(some.map(shape), " or ");
  if (schema.type === "array") return make("span", {}, "list of ", shape(schema.items));
  if (schema.type === "object" && schema.additionalProperties) {
    return make("span", {}, "object of ", shape(schema.additionalProperties));
  }
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(", ");
  return schema.format ? `${schema.type} (${schema.format})` : schema.type || "anything";
}

function join(parts, between) {
  return make("span", {}, ...parts.flatMap((part, index) => (index ? [between, part] : [part])));
}

function limits(schema) {
  const told = [];
  for (const [name, word] of [["default", "default"], ["minimum", "at least"], ["maximum", "at most"],
    ["minLength", "shortest"], ["maxLength", "longest"], ["minItems", "fewest"], ["maxItems", "most"],
    ["pattern", "pattern"]]) {
    if (schema[name] !== undefined && schema[name] !== null) told.push(`${word} ${schema[name]}`);
  }
  return told.join("; ");
}

function row(name, required, schema, description) {
  const told = [description || schema.description || "", limits(schema)].filter(Boolean).join(" ");
  return make("tr", {}, make("td", {}, make("code", { textContent: name }), required ? " *" : ""),
    make("td", {}, shape(schema)), make("td", { textContent: told }));
}

function example(schema, all, depth = 0) {
  if (!schema || depth > 8) return null;
  if (schema.$ref) return example(all[schema.$ref.split("/").pop()], all, depth + 1);
  if (schema.examples) return schema.examples[0];
  const some = schema.anyOf || schema.oneOf;
  if (some) return example(some[0], all, depth + 1);
  if (schema.type === "array") return [example(schema.items, all, depth + 1)];
  if (schema.type === "object" && schema.minProperties) {
    return { name: example(schema.additionalProperties, all, depth + 1) };
  }
  if (schema.type === "object") {
    const required = schema.required || [];
    const names = Object.keys(schema.properties || {});
    const shown = required.length ? required : names;
    return Object.fromEntries(shown.map((name) => [name, example(schema.properties[name], all, depth + 1)]));
  }
  if (schema.enum) return schema.enum[0];
  return { string: "", number: 0, integer: 0, boolean: false }[schema.type] ?? null;
}

async function send(method, path, operation, form, shown) {
  const values = new FormData(form);
  const query = new URLSearchParams();
  const headers = {};
  let target = path;
  for (const parameter of operation.parameters || []) {
    const value = values.get(parameter.in + " " + parameter.name);
    if (!value) continue;
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
    if (parameter.in === "query") query.append(parameter.name, value);
    if (parameter.in === "header") headers[parameter.name] = value;
  }
  if (at("key").value) headers.Authorization = "Bearer " + at("key").value;
  const options = { method, headers };
  if (values.has("body")) {
    headers["Content-Type"] = "application/json";
    options.body = values.get("body");
  } else if (operation.requestBody) {
    options.body = new FormData();
    for (const [name, value] of values) {
      if (name.startsWith("form ") && (value.size || value.length)) options.body.append(name.slice(5), value);
    }
  }
  const search = query.toString();
  shown.textContent = "...";
  try {
    // Relative to this page, so that it is right behind a proxy that puts us in a folder.
    const answer = await fetch("." + target + (search ? "?" + search : ""), options);
    const head = `${answer.status} ${answer.statusText}\nX-Request-Id: ${answer.headers.get("X-Request-Id")}\n\n`;
    if ((answer.headers.get("Content-Type") || "").startsWith("audio/")) {
      const src = URL.createObjectURL(await answer.blob());
      shown.replaceChildren(head, make("audio", { controls: true, src }));
      return;
    }
    const text = await answer.text();
    let body = text;
    try { body = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
    shown.textContent = head + body;
  } catch (error) {
    shown.textContent = String(error);
  }
}

function resolved(schema, all) {
  return schema.$ref ? all[schema.$ref.split("/").pop()] : schema;
}

function trial(method, path, operation, all) {
  const shown = make("pre", { textContent: "" });
  const form = make("form", {});
  for (const parameter of operation.parameters || []) {
    form.append(make("label", {}, parameter.name + " ",
      make("input", { name: parameter.in + " " + parameter.name, required: parameter.required,
        placeholder: (parameter.schema.examples || [""])[0] })));
  }
  const sent = operation.requestBody ? operation.requestBody.content : {};
  if (sent["multipart/form-data"]) {
    const parts = resolved(sent["multipart/form-data"].schema, all);
    for (const [name, part] of Object.entries(parts.properties)) {
      form.append(make("label", {}, name + " ", make("input", { name: "form " + name,
        type: part.format === "binary" ? "file" : "text", required: (parts.required || []).includes(name) })));
    }
  }
  if (sent["application/json"]) {
    const body = example(sent["application/json"].schema, all);
    form.append(make("textarea", { name: "body", spellcheck: false, value: JSON.stringify(body, null, 2) }));
  }
  form.append(make("button", { textContent: "Send" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(method.toUpperCase(), path, operation, form, shown);
  });
  return make("div", {}, make("h3", { textContent: "Try it" }), form, shown);
}

function drawOperation(method, path, operation, all) {
  const inside = make("div", {}, make("p", { textContent: operation.description || "" }));
  if (operation.parameters && operation.parameters.length) {
    inside.append(make("h3", { textContent: "Parameters" }), make("table", {},
      ...operation.parameters.map((one) => row(`${one.name} (${one.in})`, one.required, one.schema, one.description))));
  }
  if (operation.requestBody) {
    inside.append(make("h3", { textContent: "Body" }),
      make("p", {}, ...Object.entries(operation.requestBody.content).map(
        ([type, one]) => make("span", {}, shape(one.schema), ` (${type})`))));
  }
  inside.append(make("h3", { textContent: "Answers" }), make("table", {},
    ...Object.entries(operation.responses).map(([status, response]) => make("tr", {},
      make("td", { className: "mono", textContent: status }),
      make("td", {}, join(Object.entries(response.content || {}).map(([type, one]) => (one.schema ? shape(one.schema) : type)), " or ")),
      make("td", { textContent: response.description })))), trial(method, path, operation, all));
  return make("details", { id: operation.operationId },
    make("summary", {}, make("span", { className: "method " + method, textContent: method.toUpperCase() }),
      make("code", { textContent: path }), " ", make("span", { className: "quiet", textContent: operation.summary })),
    inside);
}

function drawSchema(name, schema) {
  const required = schema.required || [];
  const rows = Object.entries(schema.properties || {}).map(([field, one]) => row(field, required.includes(field), one));
  const inside = make("div", {}, make("p", { textContent: schema.description || "" }));
  inside.append(rows.length ? make("table", {}, ...rows) : make("p", {}, shape(schema)));
  return make("details", { id: "schema-" + name }, make("summary", {}, make("code", { textContent: name })), inside);
}

function drawProblems(kinds) {
  return make("table", {}, ...kinds.map(({ status, code, title }) =>
    make("tr", { id: code }, make("td", { className: "mono", textContent: status }),
      make("td", {}, make("code", { textContent: code })), make("td", { textContent: title }))));
}

function open() {
  const aimed = at(decodeURIComponent(location.hash.slice(1)));
  if (!aimed) return;
  if (aimed.tagName === "DETAILS") aimed.open = true;
  aimed.scrollIntoView();
}

async function draw() {
  const description = await (await fetch("openapi.json")).json();
  const all = description.components.schemas;
  at("version").textContent = description.info.version;
  at("about").textContent = description.info.description;
  const main = at("operations");
  const contents = at("contents");
  main.textContent = "";
  for (const { name } of description.tags) {
    main.append(make("h2", { textContent: name }));
    contents.append(make("b", { textContent: name }));
    for (const [path, operations] of Object.entries(description.paths)) {
      for (const [method, operation] of Object.entries(operations)) {
        if (!operation.tags.includes(name)) continue;
        main.append(drawOperation(method, path, operation, all));
        contents.append(make("a", { href: "#" + operation.operationId, textContent: operation.summary }));
      }
    }
  }
  contents.append(make("b", {}, make("a", { href: "#problems", textContent: "Problems" })),
    make("b", {}, make("a", { href: "#schemas", textContent: "Schemas" })));
  main.append(make("h2", { id: "problems", textContent: "Problems" }), drawProblems(description["x-problems"]),
    make("h2", { id: "schemas", textContent: "Schemas" }),
    ...Object.entries(all).map(([name, schema]) => drawSchema(name, schema)));
  open();
}

at("key").value = sessionStorage.getItem("key") || "";
at("key").addEventListener("input", (event) => sessionStorage.setItem("key", event.target.value));
addEventListener("hashchange", open);
draw().catch((error) => { at("operations").textContent = "openapi.json cannot be read: " + error; });
