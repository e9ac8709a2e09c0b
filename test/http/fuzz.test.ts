import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openTestApp, type TestApp } from "../support/http.ts";

let t: TestApp;
let thread: string;
let run: string;
let cron: string;
let assistant: string;
beforeAll(async () => {
  t = await openTestApp();
  thread = (await t.send("POST", "/threads", { metadata: { graph_id: "steps" } })).json.thread_id;
  run = (await t.send("POST", `/threads/${thread}/runs`, { assistant_id: "steps", input: {} })).json.run_id;
  cron = (await t.send("POST", "/runs/crons", { assistant_id: "steps", schedule: "0 * * * *" })).json.cron_id;
  assistant = (await t.send("POST", "/assistants", { graph_id: "steps" })).json.assistant_id;
  // Of a thread at rest states can be written.
  await t.send("POST", `/runs/${run}/cancel`);
});
afterAll(() => t.close());

const fields = {
  assistant_id: "steps",
  graph_id: "steps",
  schedule: "0 * * * *",
  timezone: "UTC",
  end_time: "2100-01-01T00:00:00Z",
  enabled: true,
  input: { seen: ["x"] },
  command: { resume: 1, update: { seen: ["y"] }, goto: ["two"] },
  config: { configurable: { a: 1 }, tags: ["t"], recursion_limit: 5 },
  metadata: { a: 1 },
  checkpoint: { checkpoint_id: "x", checkpoint_ns: "", checkpoint_map: {} },
  checkpoint_id: "x",
  values: { seen: ["z"] },
  as_node: "one",
  status: "pending",
  limit: 10,
  offset: 1,
  before: "x",
  ids: [],
  run_ids: [],
  thread_id: "x",
  decision: "accept",
  reason: "r",
  interrupt_before: ["one"],
  interrupt_after: "*",
  stream_mode: ["values"],
  stream_subgraphs: true,
  multitask_strategy: "enqueue",
  after_seconds: 1,
  if_not_exists: "create",
  namespace: ["a", "b"],
  namespace_prefix: ["a"],
  key: "k",
  value: { n: 1 },
  filter: { n: { $gt: 0 } },
  prefix: ["a", "*"],
  suffix: ["*"],
  ttl: 5,
  name: "n",
  description: "d",
  context: { a: 1 },
  version: 1,
  if_exists: "do_nothing",
  sort_by: "created_at",
  select: ["created_at"],
};

const odd = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }),
  fc.string({ unit: "binary" }),
  fc.constantFrom(
    "",
    "\u0000",
    "\ud800",
    "__proto__",
    "-1",
    1e308,
    -1,
    0.5,
    null,
    [],
    {},
    [[]],
    [null],
    { lc: 1 },
    2 ** 53,
  ),
);
const body = fc.record(
  Object.fromEntries(Object.entries(fields).map(([name, good]) => [name, fc.oneof(fc.constant(good), odd)])),
  { requiredKeys: [] },
);
const route = (): string[] => [
  "POST /threads",
  "POST /threads/search",
  "POST /threads/count",
  `PATCH /threads/${thread}`,
  `POST /threads/${thread}/state`,
  `POST /threads/${thread}/state/checkpoint`,
  `POST /threads/${thread}/history`,
  `POST /threads/${thread}/runs`,
  `POST /runs`,
  "POST /runs/batch",
  "POST /runs/cancel",
  "POST /runs/crons",
  `PATCH /runs/crons/${cron}`,
  "POST /runs/crons/search",
  "POST /runs/crons/count",
  "POST /assistants",
  `PATCH /assistants/${assistant}`,
  `POST /assistants/${assistant}/versions`,
  `POST /assistants/${assistant}/latest`,
  "POST /assistants/search",
  "POST /assistants/count",
  "PUT /store/items",
  "DELETE /store/items",
  "POST /store/items/search",
  "POST /store/namespaces",
  `POST /escalations/${run}/decide`,
  `POST /dead-letters/${run}/discard`,
];

const requests = 1_500;

it(`answers ${requests} odd bodies without a 5xx`, async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.oneof(body, odd, fc.array(body)), async (n, sent) => {
      const [method = "", url = ""] = (route()[n % route().length] ?? "").split(" ");
      const { status, text } = await t.send(method, url, sent === undefined ? "" : sent);
      expect(status, `${method} ${url}: ${text}`).toBeLessThan(500);
      if (status === 422) expect(text).not.toBe("");
    }),
    { numRuns: requests },
  );
}, 120_000);

const oddText = fc.oneof(
  fc.string(),
  fc.constantFrom("%00", "%ff", "-1", "1e9", "999999999999", "..", "{}", "null"),
);

it("answers odd paths and queries without a 5xx", async () => {
  const paths = [
    "/threads/",
    "/runs/",
    "/assistants/",
    `/assistants/${assistant}/subgraphs/`,
    `/assistants/${assistant}/graph?xray=`,
    "/escalations/",
    "/dead-letters/",
    `/threads/${thread}/state/`,
  ];
  const names = [
    "limit",
    "offset",
    "status",
    "thread_id",
    "graph_id",
    "all",
    "subgraphs",
    "before",
    "wait",
    "action",
    "namespace",
    "key",
  ];
  const lists = [
    "/store/items",
    "/escalations",
    "/dead-letters",
    `/threads/${thread}/runs`,
    `/threads/${thread}/history`,
  ];
  await fc.assert(
    fc.asyncProperty(fc.nat(), oddText, fc.constantFrom(...names), async (n, text, name) => {
      const value = text.startsWith("%") ? text : encodeURIComponent(text);
      const one = await t.send("GET", `${paths[n % paths.length]}${value}`);
      const two = await t.send("GET", `${lists[n % lists.length]}?${name}=${value}`);
      for (const { status, text: told } of [one, two]) expect(status, told).toBeLessThan(500);
    }),
    { numRuns: 400 },
  );
}, 120_000);
