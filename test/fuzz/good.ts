// What makes sense under a name: without it nearly every request would be refused at the door.
import fc from "fast-check";

/** Stands for something that exists when the request is sent. */
export interface Known {
  "known id": string;
  n: number;
}
export const known = (kind: string): fc.Arbitrary<unknown> =>
  fc.nat({ max: 1_000 }).map((n): Known => ({ "known id": kind, n }));
const knownList = (kind: string) => fc.array(known(kind), { minLength: 1, maxLength: 4 });
export const isKnown = (value: unknown): value is Known =>
  typeof value === "object" && value !== null && "known id" in value && "n" in value;

const graph = fc.constantFrom("steps", "asks", "nested", "inbox", "chat", "fails", "pays");
const text = fc.constantFrom("a", "b", "steps", "Ünï", "x y");
const labels = fc.array(fc.constantFrom("a", "b", "c", "ü"), { minLength: 1, maxLength: 3 });
const node = fc.constantFrom(
  "one",
  "two",
  "ask",
  "outer",
  "review",
  "reply",
  "boom",
  "book",
  "pay",
  "nobody",
);
const input = fc.oneof(
  fc.constantFrom<unknown[]>(
    {},
    { seen: ["x"] },
    { seen: [], answer: "fail" },
    { answer: "unclear" },
    { messages: [{ role: "user", content: "hello" }] },
    { messages: "hello" },
  ),
  fc.jsonValue({ maxDepth: 2 }),
);
const checkpoint = fc.oneof(
  known("checkpoint_id").map((checkpoint_id) => ({ checkpoint_id })),
  known("checkpoint_id").map((checkpoint_id) => ({ checkpoint_id, checkpoint_ns: "" })),
  fc.constant({ checkpoint_ns: "outer" }),
);
const configurable = fc.oneof(
  fc.dictionary(text, fc.jsonValue({ maxDepth: 1 }), { maxKeys: 2 }),
  fc.constantFrom({ holdfast_effects: "reuse" }, { holdfast_effects: "repeat" }, { thread_id: "x" }),
  known("checkpoint_id").map((checkpoint_id) => ({ checkpoint_id })),
);
const answer = fc.constantFrom<unknown[]>("yes", 1, { a: 1 }, [{ type: "accept", args: null }]);
const command = fc.oneof(
  fc.record({ resume: answer }),
  known("interrupt_id").map((id) => ({ resume: [id] })),
  fc.record({ update: fc.constantFrom({ seen: ["y"] }, { nope: 1 }), goto: node }),
);

export const good: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  thread_id: known("thread_id"),
  run_id: known("run_id"),
  cron_id: known("cron_id"),
  delivery_id: known("delivery_id"),
  id: known("escalation_id"),
  checkpoint_id: known("checkpoint_id"),
  before: known("checkpoint_id"),
  assistant_id: fc.oneof(graph, known("assistant_id")),
  ids: knownList("thread_id"),
  thread_ids: knownList("thread_id"),
  run_ids: knownList("run_id"),
  group: known("fingerprint"),
  fingerprint: known("fingerprint"),
  target: fc.constantFrom("host/model", "api.example.org/x/y"),
  graph_id: graph,
  input,
  values: fc.constantFrom<unknown[]>({ seen: ["z"] }, { answer: 1 }, null, { messages: [] }),
  command,
  checkpoint,
  config: fc.record(
    { configurable, tags: fc.constant(["t"]), recursion_limit: fc.integer({ min: 1, max: 30 }) },
    { requiredKeys: [] },
  ),
  configurable,
  metadata: fc.dictionary(text, fc.constantFrom<unknown[]>(1, "x", { y: [1] }), { maxKeys: 2 }),
  as_node: node,
  interrupt_before: fc.oneof(fc.constant("*"), fc.array(node, { maxLength: 2 })),
  interrupt_after: fc.oneof(fc.constant("*"), fc.array(node, { maxLength: 2 })),
  after_seconds: fc.constantFrom(0, 0.5, 1),
  ttl: fc.constantFrom<unknown[]>(
    60,
    { ttl: 100, strategy: "delete" },
    { ttl: 5, strategy: "keep_latest" },
    null,
  ),
  schedule: fc.constantFrom("0 * * * *", "@daily", "*/5 3 * * 1", "* * * * *", "0 0 30 2 *"),
  timezone: fc.constantFrom("UTC", "Europe/Berlin", "Nowhere/Land"),
  end_time: fc.constantFrom("2100-01-01T00:00:00Z", "2001-01-01T00:00:00Z"),
  webhook: fc.constantFrom("https://example.org/hook", "http://localhost:1/x", "/loop"),
  namespace: fc.oneof(labels, fc.constantFrom("a", "a.b", "outer")),
  namespace_prefix: labels,
  prefix: fc.oneof(labels, fc.constant(["*"])),
  suffix: fc.oneof(labels, fc.constant(["*"])),
  key: text,
  value: fc.dictionary(text, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }),
  filter: fc.dictionary(text, fc.constantFrom<unknown[]>(1, { $gt: 0 }, { $in: [1, "x"] }), { maxKeys: 2 }),
  query: fc.constantFrom("", "cats"),
  select: fc.array(fc.constantFrom("metadata", "values", "status", "created_at", "config", "nope"), {
    maxLength: 3,
  }),
  extract: fc.dictionary(
    text,
    fc.constantFrom("values.seen[0]", "metadata.a", "values.messages[-1].content"),
    {
      maxKeys: 2,
    },
  ),
  limit: fc.integer({ min: 1, max: 30 }),
  offset: fc.integer({ min: 0, max: 30 }),
  version: fc.integer({ min: 1, max: 4 }),
  supersteps: fc.array(
    fc.record({ updates: fc.tuple(fc.record({ values: fc.constant({ seen: ["s"] }), as_node: node })) }),
    { maxLength: 2 },
  ),
  decision: fc.constantFrom("accept", "edit", "response", "ignore"),
  args: fc.oneof(answer, fc.constant({ to: "b@example.org" })),
  resume: answer,
  xray: fc.constantFrom("true", "1", "32", "33"),
  stream_mode: fc.constantFrom(
    "values",
    "updates",
    "messages",
    "debug",
    "run_modes",
    "lifecycle,state_update",
  ),
  channels: fc.array(fc.constantFrom("values", "updates", "messages", "lifecycle", "custom:x", "nope"), {
    minLength: 1,
    maxLength: 3,
  }),
  since: fc.constantFrom(0, 1, 16_777_217),
  since_event_id: fc.constantFrom("1-0", "99-9", "x"),
  method: fc.constantFrom("run.start", "input.respond", "state.get", "agent.getTree", "nope"),
  include: fc.constantFrom("ttl", "x"),
  after: fc.constantFrom("-", "1-0", "99-9"),
  "last-event-id": fc.constantFrom("-1", "0", "2", "1-0", "-", "999999", "x"),
  prefer: fc.constantFrom("return=minimal", "return=representation"),
  "idempotency-key": fc.constantFrom("k1", "k2", "k3"),
};
