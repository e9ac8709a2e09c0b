import { HumanMessage } from "@langchain/core/messages";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openTestApp, type TestApp } from "../support/http.ts";

let t: TestApp;
let threadId: string;
beforeAll(async () => {
  t = await openTestApp();
  threadId = (await t.send("POST", "/threads", {})).json.thread_id;
});
afterAll(() => t.close());

const unknown = "0195c0de-0000-7000-8000-000000000000";
const run = (body: Record<string, unknown> = {}) => ({ assistant_id: "steps", input: {}, ...body });
const raw = (input: string) => `{"assistant_id": "steps", "input": ${input}}`;
const deep = (levels: number) => "[".repeat(levels) + "]".repeat(levels);

interface Bad {
  name: string;
  body?: unknown;
  url?: string;
  method?: string;
  headers?: Record<string, string>;
  status: number;
  says: RegExp;
}

const bad: Bad[] = [
  {
    name: "unknown graph",
    body: run({ assistant_id: "nobody" }),
    status: 404,
    says: /^Assistant not found$/,
  },
  {
    name: "unknown assistant id",
    body: run({ assistant_id: unknown }),
    status: 404,
    says: /^Assistant not found$/,
  },
  {
    name: "unknown thread",
    url: `/threads/${unknown}/runs`,
    body: run(),
    status: 404,
    says: /Thread with ID .* not found/,
  },
  { name: "unknown run", method: "GET", url: `/runs/${unknown}`, status: 404, says: /^Run not found$/ },
  {
    name: "unknown run's stream",
    method: "GET",
    url: `/runs/${unknown}/stream`,
    status: 404,
    says: /^Run not found$/,
  },
  {
    name: "run of another thread",
    method: "POST",
    url: `/threads/${unknown}/runs/${unknown}/cancel`,
    status: 404,
    says: /not found/,
  },
  { name: "no uuid in the path", method: "GET", url: "/threads/1/state", status: 400, says: /thread_id/ },
  { name: "NUL in the path", method: "GET", url: "/assistants/%00", status: 404, says: /not found/ },
  {
    name: "NUL in the query",
    method: "GET",
    url: "/escalations?graph_id=%00",
    status: 422,
    says: /graph_id/,
  },
  {
    name: "resume of nothing",
    body: run({ input: null, command: { resume: 1 } }),
    status: 409,
    says: /waits for no answer/,
  },
  { name: "no assistant", body: { input: {} }, status: 422, says: /assistant_id/ },
  { name: "malformed JSON", body: '{"assistant_id": ', status: 400, says: /Malformed JSON/ },
  { name: "a list as body", body: "[]", status: 422, says: /body: / },
  { name: "wrong type of a field", body: run({ metadata: "text" }), status: 422, says: /metadata/ },
  {
    name: "wrong type of a nested field",
    body: run({ config: { recursion_limit: "x" } }),
    status: 422,
    says: /config\.recursion_limit/,
  },
  {
    name: "recursion limit of 0",
    body: run({ config: { recursion_limit: 0 } }),
    status: 422,
    says: /recursion_limit/,
  },
  { name: "unknown stream mode", body: run({ stream_mode: ["secrets"] }), status: 422, says: /stream_mode/ },
  {
    name: "unknown strategy",
    body: run({ multitask_strategy: "win" }),
    status: 422,
    says: /multitask_strategy/,
  },
  { name: "negative delay", body: run({ after_seconds: -1 }), status: 422, says: /after_seconds/ },
  { name: "unknown checkpoint", body: run({ checkpoint_id: unknown }), status: 422, says: /checkpoint_id/ },
  {
    name: "a key of the runtime",
    body: run({ config: { configurable: { __pregel_checkpointer: 1 } } }),
    status: 422,
    says: /configurable\.__pregel_checkpointer/,
  },
  {
    name: "large metadata",
    body: run({ metadata: { a: "x".repeat(20_000) } }),
    status: 422,
    says: /metadata/,
  },
  {
    name: "2 MB of body",
    body: run({ input: "x".repeat(2_000_000) }),
    status: 413,
    says: /larger than 1048576 bytes/,
  },
  {
    name: "a long text",
    body: run({ input: { a: "x".repeat(600_000) } }),
    status: 422,
    says: /input\.a: longer than/,
  },
  { name: "depth 10,000", body: raw(deep(10_000)), status: 422, says: /input\.0\.0.*deeper than 64/ },
  {
    name: "many keys",
    body: run({ input: Object.fromEntries(Array.from({ length: 10_001 }, (_, n) => [`k${n}`, 0])) }),
    status: 422,
    says: /more than 10000 keys/,
  },
  {
    name: "__proto__",
    body: raw('{"a": {"__proto__": {"admin": true}}}'),
    status: 422,
    says: /input\.a\.__proto__/,
  },
  {
    name: "constructor.prototype",
    body: raw('{"constructor": {"prototype": {"x": 1}}}'),
    status: 422,
    says: /input\.constructor/,
  },
  {
    name: "an lc constructor",
    body: raw('{"lc": 1, "type": "constructor", "id": ["langchain", "x", "Y"], "kwargs": {}}'),
    status: 422,
    says: /input: the key lc is reserved/,
  },
  {
    name: "an lc secret",
    body: raw('{"a": [{"lc": 1, "type": "secret", "id": ["KEY"]}]}'),
    status: 422,
    says: /input\.a\.0/,
  },
  {
    name: "an lc secret in a message",
    body: raw(
      '{"m": {"lc": 1, "type": "constructor", "id": ["langchain_core", "messages", "HumanMessage"], "kwargs": {"content": "x", "additional_kwargs": {"k": {"lc": 1, "type": "secret", "id": ["KEY"]}}}}}',
    ),
    status: 422,
    says: /input\.m\.additional_kwargs\.k/,
  },
  {
    name: "lc in a resume value",
    body: { assistant_id: "steps", command: { resume: { lc: 2, type: "undefined" } } },
    status: 422,
    says: /command\.resume/,
  },
  { name: "\\u0000", body: raw('{"text": "a\\u0000b"}'), status: 422, says: /input\.text/ },
  { name: "\\u0000 in a key", body: raw('{"a\\u0000b": 1}'), status: 422, says: /u0000/ },
  {
    name: "a lone surrogate",
    body: raw('{"text": "\\ud800"}'),
    status: 422,
    says: /input\.text: a lone surrogate/,
  },
  {
    name: "an integer beyond 2^53",
    body: raw('{"id": 9007199254740993}'),
    status: 422,
    says: /input\.id.*as a string/,
  },
  { name: "an endless number", body: raw('{"n": 1e999}'), status: 422, says: /input\.n/ },
  {
    name: "an empty Idempotency-Key",
    body: run(),
    headers: { "idempotency-key": "" },
    status: 422,
    says: /Idempotency-Key/,
  },
  {
    name: "an unknown cancel action",
    method: "POST",
    url: `/runs/${unknown}/cancel?action=explode`,
    status: 422,
    says: /action/,
  },
  { name: "a limit of 0", method: "GET", url: "/escalations?limit=0", status: 422, says: /limit/ },
  { name: "an unknown route", method: "GET", url: "/nothing", status: 404, says: /Not Found/ },
];

describe("bad input gets a clear error and changes nothing:", () => {
  it.each(bad)("$name", async ({ body, url, method, headers, status, says }) => {
    const before = await t.rows();
    const sent = await t.send(method ?? "POST", url ?? `/threads/${threadId}/runs`, body, headers);
    expect({ status: sent.status, text: sent.text }).toEqual({ status, text: expect.stringMatching(says) });
    expect(await t.rows()).toEqual(before);
  });

  it("refuses a body that is larger than its content-length says", async () => {
    const stream = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(65_536).fill(32)),
    });
    const request = new Request("http://x/threads", {
      method: "POST",
      body: stream,
      duplex: "half",
    } as RequestInit);
    expect((await t.app.request(request)).status).toBe(413);
  });

  it("answers our own routes with problem details", async () => {
    const sent = await t.send("GET", `/escalations/${unknown}`);
    expect(sent.headers.get("content-type")).toBe("application/problem+json");
    expect(sent.json).toEqual({
      type: "about:blank",
      title: "Not Found",
      status: 404,
      detail: `Escalation ${unknown} not found`,
    });
    const field = await t.send("POST", `/dead-letters/${unknown}/discard`, { reason: 1 });
    expect(field).toMatchObject({ status: 422, json: { field: "reason" } });
  });
});

describe("messages", () => {
  it("that a client sent as LangChain objects become plain ones", async () => {
    const messages = [new HumanMessage({ content: "hi", id: "m1" }), { role: "user", content: "plain" }];
    const sent = await t.send(
      "POST",
      `/threads/${threadId}/runs`,
      run({ assistant_id: "chat", input: { messages } }),
    );
    expect(sent.json.kwargs.input.messages).toEqual([
      { type: "human", content: "hi", id: "m1", additional_kwargs: {}, response_metadata: {} },
      { role: "user", content: "plain" },
    ]);
  });
});
