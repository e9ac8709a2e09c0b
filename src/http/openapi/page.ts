// The document as one page without scripts: it works offline, and under a policy that allows nothing but its own style.
import { createHash } from "node:crypto";
import { html, raw } from "hono/html";
import type { HtmlEscapedString } from "hono/utils/html";
import type { Content, DocumentedOperation, JsonSchema, OpenApiDocument, Parameter } from "./document.ts";

type Html = HtmlEscapedString | Promise<HtmlEscapedString>;

const style = `
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem 1.5rem 4rem; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; }
h2 { margin: 2.5rem 0 .5rem; }
h4 { margin: 1rem 0 .25rem; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; padding: .4rem .75rem; }
summary { cursor: pointer; }
summary b { display: inline-block; min-width: 4.5rem; font: bold 12px ui-monospace, monospace; }
summary span { opacity: .75; margin-left: .75rem; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; margin: .25rem 0; padding: .5rem .75rem; border-left: 3px solid var(--line); scroll-margin-top: 3rem; }
table { border-collapse: collapse; }
td { padding: .1rem 1rem .1rem 0; vertical-align: top; }
`;

const styleHash = createHash("sha256").update(style).digest("base64");
export const pageHeaders = {
  "content-security-policy": `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};

export function documentPage(document: OpenApiDocument): Html {
  const { info, tags, paths, components } = document;
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method, path, operation })),
  );
  return html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${info.title} ${info.version}</title><style>${raw(style)}</style></head>
<body>
<h1>${info.title} ${info.version}</h1>
<p>${info.description} As a document for machines: <a href="openapi.json">openapi.json</a> (OpenAPI ${document.openapi}).</p>
<nav>${tags.map(({ name }) => html`<a href="#${anchor(name)}">${name}</a>`)}<a href="#schemas">Schemas</a></nav>
${tags.map(
  ({ name }) => html`<h2 id="${anchor(name)}">${name}</h2>
${operations.filter(({ operation }) => operation.tags.includes(name)).map(shownOperation)}`,
)}
<h2 id="schemas">Schemas</h2>
${Object.entries(components.schemas).map(
  ([name, schema]) =>
    // The id is inside: a link to it opens the details around it.
    html`<details><summary><code>${name}</code></summary><pre id="${schemaAnchor(name)}">${shape(schema)}</pre></details>`,
)}
</body>
</html>`;
}

const anchor = (name: string): string => name.toLowerCase().replaceAll(" ", "-");
const schemaAnchor = (name: string): string => `schema-${name}`;

function shownOperation({
  method,
  path,
  operation,
}: {
  method: string;
  path: string;
  operation: DocumentedOperation;
}): Html {
  const { operationId, summary, parameters, requestBody, responses } = operation;
  const answers = Object.entries(responses);
  const refusals = answers.filter(([status]) => Number(status) >= 400);
  return html`<details><summary><b>${method.toUpperCase()}</b><code id="${operationId}">${path}</code><span>${summary}</span></summary>
${parameters.length === 0 ? "" : html`<h4>Parameters</h4><table>${parameters.map(shownParameter)}</table>`}
${requestBody === undefined ? "" : html`<h4>Body</h4>${shownContent(requestBody.content)}`}
<h4>Answers</h4>
${answers
  .filter(([status]) => Number(status) < 400)
  .map(
    ([status, { description, content = {} }]) =>
      html`<div><code>${status}</code> ${description}</div>${shownContent(content)}`,
  )}
<h4>Refusals</h4>
<div>${refusals.map(([status, { description }]) => html`<code>${status}</code> ${description}&emsp;`)}</div>
</details>
`;
}

const shownParameter = ({ name, in: place, required, description, schema }: Parameter): Html =>
  html`<tr><td><code>${name}${required ? "" : "?"}</code></td><td>${place}</td><td><code>${shape(schema)}</code></td><td>${description ?? ""}</td></tr>`;

const shownContent = (content: Content): Html[] =>
  Object.entries(content).map(([type, { schema }]) =>
    Object.keys(schema).length === 0 || schema.type === "string"
      ? html`<pre>${type}</pre>`
      : html`<pre>${type === "application/json" ? "" : `${type} `}${shape(schema)}</pre>`,
  );

/** A JSON schema in the form of a TypeScript type. */
function shape(schema: JsonSchema, indent = ""): Html {
  const { $ref, anyOf, type, description } = schema as {
    $ref?: string;
    anyOf?: JsonSchema[];
    type?: string | string[];
    description?: string;
  };
  const note = description === undefined ? "" : ` // ${description}`;
  if ($ref !== undefined) {
    const name = $ref.split("/").at(-1) ?? "";
    return html`<a href="#${schemaAnchor(name)}">${name}</a>`;
  }
  if (anyOf !== undefined)
    return html`${anyOf.map((choice, n) => html`${n === 0 ? "" : " | "}${shape(choice, indent)}`)}${note}`;
  if ("const" in schema) return html`${JSON.stringify(schema.const)}`;
  if (Array.isArray(schema.enum))
    return html`${schema.enum.map((value) => JSON.stringify(value)).join(" | ")}`;
  if (type === "array")
    return html`[${schema.items === undefined || schema.items === false ? "…" : shape(schema.items as JsonSchema, indent)}]${note}`;
  if (type === "object") return html`${objectShape(schema, indent)}${note}`;
  const plain = Array.isArray(type) ? type.join(" | ") : (type ?? "any");
  return html`${String(schema.format ?? plain)}${limitsOf(schema)}${note}`;
}

function objectShape(schema: JsonSchema, indent: string): Html {
  const { properties, required = [] } = schema as {
    properties?: Record<string, JsonSchema>;
    required?: string[];
  };
  const names = Object.keys(properties ?? {});
  if (names.length === 0) return html`{…}`;
  const inner = `${indent}  `;
  return html`{
${names.map((name) => html`${inner}${name}${required.includes(name) ? "" : "?"}: ${shape(properties?.[name] ?? {}, inner)}\n`)}${indent}}`;
}

const bounds = ["minimum", "maximum", "maxLength", "maxItems"] as const;
function limitsOf(schema: JsonSchema): string {
  const known = bounds.filter(
    (bound) => bound in schema && Math.abs(Number(schema[bound])) !== Number.MAX_SAFE_INTEGER,
  );
  return known.length === 0
    ? ""
    : ` (${known.map((bound) => `${bound} ${String(schema[bound])}`).join(", ")})`;
}
