import { z } from "zod";
import { isOwnRoute, titles } from "../errors.ts";
import { uuid } from "../schemas/common.ts";
import { invalidRequest, problem } from "./answers.ts";
import { type Answer, type Operation, parametersOf, pathParameters } from "./operation.ts";

export type JsonSchema = Record<string, unknown>;

export interface Parameter {
  name: string;
  in: "path" | "query" | "header";
  required: boolean;
  description?: string;
  schema: JsonSchema;
}
export type Content = Record<string, { schema: JsonSchema }>;
export interface DocumentedAnswer {
  description: string;
  headers?: Record<string, { description: string; schema: JsonSchema }>;
  content?: Content;
}
export interface DocumentedOperation {
  operationId: string;
  tags: string[];
  summary: string;
  parameters: Parameter[];
  requestBody?: { required: boolean; content: Content };
  responses: Record<string, DocumentedAnswer>;
  security?: Record<string, string[]>[];
}
export interface OpenApiDocument {
  openapi: "3.1.0";
  info: { title: string; version: string; description: string };
  tags: { name: string }[];
  security: Record<string, string[]>[];
  paths: Record<string, Record<string, DocumentedOperation>>;
  components: { schemas: Record<string, JsonSchema>; securitySchemes: Record<string, unknown> };
}

const text: JsonSchema = { type: "string" };

/** The OpenAPI document of these operations. */
export function makeDocument(operations: readonly Operation[], version: string): OpenApiDocument {
  const writer = new SchemaWriter();
  const paths: OpenApiDocument["paths"] = {};
  for (const operation of operations) {
    const path = operation.path.replace(/:(\w+)/g, "{$1}");
    paths[path] = { ...paths[path], [operation.method]: documented(operation, writer) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Holdfast",
      version,
      description:
        "The Agent Server API of LangGraph, and Holdfast's own routes. Answers hold what is listed here and nothing else.",
    },
    tags: [...new Set(operations.map(({ tag }) => tag))].map((name) => ({ name })),
    security: [{ key: [] }, { bearer: [] }, {}],
    paths,
    components: {
      schemas: writer.named,
      securitySchemes: {
        key: { type: "apiKey", in: "header", name: "x-api-key" },
        bearer: { type: "http", scheme: "bearer" },
      },
    },
  };
}

/** zod to JSON schema; schemas with an id go to the components. */
class SchemaWriter {
  readonly named: Record<string, JsonSchema> = {};

  write(schema: z.ZodType, io: "input" | "output"): JsonSchema {
    // In a wrapper a schema with an id becomes a reference, too.
    const { properties, $defs = {} } = z.toJSONSchema(z.object({ it: schema }), { io });
    const [own = {}, named] = [properties?.it, $defs].map(withComponents) as [JsonSchema, typeof this.named];
    Object.assign(this.named, named);
    return own;
  }
}

const withComponents = (schemas: unknown): unknown =>
  schemas === undefined
    ? undefined
    : JSON.parse(JSON.stringify(schemas).replaceAll('"#/$defs/', '"#/components/schemas/'));

function documented(operation: Operation, writer: SchemaWriter): DocumentedOperation {
  const { id, tag, summary, body, answers, open = false } = operation;
  const responses: [number, DocumentedAnswer][] = [
    ...refusalsOf(operation).map((status): [number, DocumentedAnswer] => [
      status,
      refusal(status, operation, writer),
    ]),
    ...Object.entries(answers).map(([status, told]): [number, DocumentedAnswer] => [
      Number(status),
      shown(told, writer),
    ]),
  ];
  return {
    operationId: id,
    tags: [tag],
    summary,
    parameters: parametersIn(operation, writer),
    ...(body === undefined ? {} : { requestBody: requestBody(body, writer) }),
    responses: Object.fromEntries(responses),
    ...(open ? { security: [] } : {}),
  };
}

/** A body that may be empty is an empty object. */
const requestBody = (body: z.ZodType, writer: SchemaWriter): { required: boolean; content: Content } => ({
  required: !body.safeParse({}).success,
  content: { "application/json": { schema: writer.write(body, "input") } },
});

function parametersIn(operation: Operation, writer: SchemaWriter): Parameter[] {
  const { path, query, flags = [], texts = {}, headers = {} } = operation;
  const { properties = {}, required = [] } =
    query === undefined
      ? {}
      : (writer.write(query, "input") as {
          properties?: Record<string, JsonSchema>;
          required?: string[];
        });
  return [
    ...parametersOf(path).map((name): Parameter => {
      const schema = writer.write(pathParameters[name] ?? z.string(), "input");
      return { name, in: "path", required: true, schema };
    }),
    ...Object.entries(properties).map(([name, schema]): Parameter => {
      return { name, in: "query", required: required.includes(name), schema };
    }),
    ...flags.map((name): Parameter => ({ name, in: "query", required: false, schema: { type: "boolean" } })),
    ...optionalTexts("query", texts),
    ...optionalTexts("header", headers),
  ];
}

const optionalTexts = (place: "query" | "header", texts: Readonly<Record<string, string>>): Parameter[] =>
  Object.entries(texts).map(([name, description]) => ({
    name,
    in: place,
    required: false,
    description,
    schema: text,
  }));

/** What any such request may be refused with, and what this one may. */
function refusalsOf({ path, body, query, refusals = [], open = false }: Operation): number[] {
  const parameters = parametersOf(path);
  const statuses = new Set([429, 503, ...refusals]);
  if (!open) statuses.add(401);
  if (parameters.some((name) => name === "thread_id" || pathParameters[name] === uuid))
    statuses.add(400).add(404);
  if (parameters.includes("assistant_id")) statuses.add(404);
  if (query !== undefined) statuses.add(422);
  if (body !== undefined) statuses.add(400).add(413).add(422);
  return [...statuses];
}

function refusal(status: number, { path }: Operation, writer: SchemaWriter): DocumentedAnswer {
  const description = titles[status] ?? "Error";
  if (isOwnRoute(path))
    return {
      description,
      content: { "application/problem+json": { schema: writer.write(problem, "output") } },
    };
  const plain = { "text/plain": { schema: text } };
  if (status !== 400 && status !== 422) return { description, content: plain };
  const schema = writer.write(invalidRequest, "output");
  return { description, content: { ...plain, "application/json": { schema } } };
}

function shown({ description, content, headers = {} }: Answer, writer: SchemaWriter): DocumentedAnswer {
  const types = Object.entries(content).map(([type, schema]) => [
    type,
    { schema: schema === null ? {} : writer.write(schema, "output") },
  ]);
  const told = Object.entries(headers).map(([name, meaning]) => [
    name,
    { description: meaning, schema: text },
  ]);
  return {
    description,
    ...(told.length === 0 ? {} : { headers: Object.fromEntries(told) }),
    ...(types.length === 0 ? {} : { content: Object.fromEntries(types) }),
  };
}
