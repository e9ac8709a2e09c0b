import { afterAll, beforeAll, expect, it, vi } from "vitest";
import type { z } from "zod";
import type * as Body from "../../src/http/body.ts";
import type { RequestContext } from "../../src/http/deps.ts";
import { makeDocument } from "../../src/http/openapi/document.ts";
import type { Operation } from "../../src/http/openapi/operation.ts";
import { operations } from "../../src/http/openapi/operations.ts";
import type * as Common from "../../src/http/schemas/common.ts";
import { openTestApp, type TestApp } from "../support/http.ts";

/** What the handler under test has read. */
const read = vi.hoisted(() => ({ bodies: [] as unknown[], queries: [] as unknown[], flags: [] as string[] }));
vi.mock("../../src/http/body.ts", async (original) => {
  const body = await original<typeof Body>();
  return {
    ...body,
    readInput: <T>(c: RequestContext, schema: z.ZodType<T>, bytesMax: number) => {
      read.bodies.push(schema);
      return body.readInput(c, schema, bytesMax);
    },
  };
});
vi.mock("../../src/http/schemas/common.ts", async (original) => {
  const common = await original<typeof Common>();
  return {
    ...common,
    readQuery: <T>(c: RequestContext, schema: z.ZodType<T>) => {
      read.queries.push(schema);
      return common.readQuery(c, schema);
    },
    flag: (c: RequestContext, name: string) => {
      read.flags.push(name);
      return common.flag(c, name);
    },
  };
});

let t: TestApp;
beforeAll(async () => {
  t = await openTestApp();
});
afterAll(() => t.close());
const routesOf = ({ app }: TestApp): string[] =>
  app.routes.filter(({ method }) => method !== "ALL").map(({ method, path }) => `${method} ${path}`);
const routeOf = ({ method, path }: Operation): string => `${method.toUpperCase()} ${path}`;

it("has an operation for every route, and a route for every operation", () => {
  expect(operations.map(routeOf).sort()).toEqual(routesOf(t).sort());
});

it("names every operation once", () => {
  const ids = operations.map(({ id }) => id);
  expect(ids.filter((id, n) => ids.indexOf(id) !== n)).toEqual([]);
});

let existing: Record<string, string> | undefined;

/** Things that exist, so that no handler stops before it reads. */
async function makeThings(): Promise<Record<string, string>> {
  const thread_id = (await t.send("POST", "/threads", { metadata: { graph_id: "steps" } })).json.thread_id;
  const run = { assistant_id: "steps", input: {} };
  const run_id = (await t.send("POST", `/threads/${thread_id}/runs`, run)).json.run_id;
  const dead = { text: "update holdfast.runs set status = 'error', finished_at = now()", values: [] };
  await t.db.query(dead);
  const cron = { assistant_id: "steps", schedule: "0 * * * *" };
  return {
    thread_id,
    run_id,
    assistant_id: (await t.send("POST", "/assistants", { graph_id: "steps" })).json.assistant_id,
    cron_id: (await t.send("POST", "/runs/crons", cron)).json.cron_id,
    checkpoint_id: "none",
    namespace: "one",
    target: "host%2Fmodel",
  };
}

for (const operation of operations) {
  it(`reads in ${routeOf(operation)} what the document says`, async () => {
    const { method, path, body, query, flags = [] } = operation;
    existing ??= await makeThings();
    const ids: Record<string, string> = existing;
    if (method === "delete") existing = undefined;
    for (const list of Object.values(read)) list.length = 0;
    const url = path.replace(/:(\w+)/g, (_all, name: string) => ids[name] ?? ids.thread_id ?? "");
    const init = body === undefined ? {} : { body: "{}" };
    const response = await t.app.request(url, { method: method.toUpperCase(), ...init });
    await response.body?.cancel();
    expect(response.status).toBeLessThan(500);
    expect(new Set(read.bodies)).toEqual(new Set(body === undefined ? [] : [body]));
    expect(read.bodies[0]).toBe(body);
    expect(read.queries[0]).toBe(query);
    expect(new Set(read.queries).size).toBe(query === undefined ? 0 : 1);
    const named = [...flags, ...Object.keys(query?.shape ?? {})];
    expect(named).toEqual(expect.arrayContaining(read.flags));
    expect(read.flags).toEqual(expect.arrayContaining([...flags]));
  });
}

it("serves the document that the operations make", async () => {
  const { status, json } = await t.send("GET", "/openapi.json");
  expect(status).toBe(200);
  expect(json).toEqual(JSON.parse(JSON.stringify(makeDocument(operations, "0.0.0-test"))));
  const references = JSON.stringify(json).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g);
  const named = new Set([...references].map(([, name]) => name));
  expect([...named].sort()).toEqual(Object.keys(json.components.schemas).sort());
});

it("gives the document and its page to whoever has no key", async () => {
  const closed = await openTestApp({ authRequired: true });
  try {
    expect((await closed.send("GET", "/openapi.json")).status).toBe(200);
    expect((await closed.send("GET", "/docs")).status).toBe(200);
    expect((await closed.send("GET", "/threads/x/state")).status).toBe(401);
  } finally {
    await closed.close();
  }
});

it("shows a page of every operation that loads nothing and runs nothing", async () => {
  const { headers, text } = await t.send("GET", "/docs");
  expect(headers.get("content-security-policy")).toMatch(/^default-src 'none'; style-src 'sha256-[\w+/=]+';/);
  for (const { id } of operations) expect(text).toContain(`id="${id}"`);
  expect(text).not.toMatch(/<script|<link|\bon\w+=|style=|src=|https?:\/\//);
});
