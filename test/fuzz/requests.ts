import fc from "fast-check";
import type { DocumentedOperation, OpenApiDocument, Parameter } from "../../src/http/openapi/document.ts";
import { goodBodies } from "./good.ts";
import { odd, spoiled, Values } from "./values.ts";

export interface PlannedRequest {
  method: string;
  path: string;
  operation: DocumentedOperation;
  parameters: { parameter: Parameter; value: unknown }[];
  /** A text goes out as it is. */
  body: { json: unknown } | { text: string } | null;
}

const malformed = fc.constantFrom(
  "",
  " ",
  "{",
  "nul",
  '{"a":1}}',
  '{"__proto__":{"x":1}}',
  '{"constructor":{"prototype":{}}}',
  '{"metadata":{"a":"\\u0000"}}',
  '{"limit":1e999}',
  "[".repeat(2_000) + "]".repeat(2_000),
  `{"metadata":${'{"a":'.repeat(100)}1${"}".repeat(100)}}`,
  `{"input":"${"x".repeat(1_100_000)}"}`,
  `{"metadata":{"a":"${"y".repeat(20_000)}"}}`,
);

/** Requests of all operations, some as documented and some not. */
export function requestsOf(document: OpenApiDocument): fc.Arbitrary<PlannedRequest> {
  const values = new Values(document.components.schemas);
  const all = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      // What is made should outnumber what is deleted, or nothing would be left to ask about.
      weight: /^(delete|prune|discard|cancelRuns)/.test(operation.operationId) ? 1 : 4,
      arbitrary: requestOf(values, { method, path, operation }),
    })),
  );
  return fc.oneof(...all);
}

function requestOf(
  values: Values,
  { method, path, operation }: Pick<PlannedRequest, "method" | "path" | "operation">,
): fc.Arbitrary<PlannedRequest> {
  const changesAssistant = /^(patch|delete|setLatest)Assistant/.test(operation.operationId);
  const given = operation.parameters.map((parameter) => {
    let { name } = parameter;
    if (changesAssistant && name === "assistant_id") name = "own assistant_id";
    if (path.startsWith("/dead-letters/") && name === "run_id") name = "dead run_id";
    return parameterOf(values, parameter, name);
  });
  return fc
    .record({ parameters: fc.tuple(...given), body: bodyOf(values, operation) })
    .map(({ parameters, body }) => ({
      method,
      path,
      operation,
      parameters: parameters.filter(({ value }) => value !== undefined),
      body,
    }));
}

function parameterOf(
  values: Values,
  parameter: Parameter,
  name: string,
): fc.Arbitrary<{ parameter: Parameter; value: unknown }> {
  const { required, schema, in: place } = parameter;
  const fits = values.of(schema, name);
  const unfit =
    place === "header"
      ? fc.string({ maxLength: 300 }).map((text) => text.replace(/[^\x21-\x7e]/g, "~"))
      : fc.oneof(odd, fc.uuid());
  const value = fc.oneof({ arbitrary: fits, weight: 9 }, { arbitrary: unfit, weight: 1 });
  const left = required ? value : fc.option(value, { freq: 1, nil: undefined });
  return left.map((it) => ({ parameter, value: it }));
}

function bodyOf(
  values: Values,
  { operationId, requestBody }: DocumentedOperation,
): fc.Arbitrary<PlannedRequest["body"]> {
  const schema = requestBody?.content["application/json"]?.schema;
  if (schema === undefined) return fc.constant(null);
  const known = goodBodies[operationId];
  const fits = known === undefined ? values.of(schema) : fc.oneof(known, values.of(schema));
  return fc.oneof(
    { arbitrary: fits.map((json) => ({ json })), weight: 14 },
    { arbitrary: spoiled(fits).map((json) => ({ json })), weight: 5 },
    { arbitrary: odd.map((json) => ({ json })), weight: 1 },
    { arbitrary: malformed.map((text) => ({ text })), weight: 1 },
  );
}
