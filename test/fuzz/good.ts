// What makes sense under a name: without it nearly every request would be refused at the door.
import fc from "fast-check";
import type { ProgramUi } from "../../src/http/program-ui.ts";

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

/** JSON that is let in: integers beyond what a double holds exactly are refused, and one of them in a body refuses it all. */
export const json = (maxDepth: number): fc.Arbitrary<unknown> =>
  fc.jsonValue({ maxDepth }).map((value) => JSON.parse(JSON.stringify(value, withSafeNumbers)));
const withSafeNumbers = (_key: string, value: unknown): unknown =>
  typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER ? value % 1_000 : value;

/** The components of an agent, as they would have been bundled. */
export const components: ProgramUi = new Map([
  ["steps", new Map([["entrypoint.js", Buffer.from("__LGUI_steps = {};")]])],
]);

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
  json(2),
);
const checkpoint = fc.oneof(
  known("checkpoint_id").map((checkpoint_id) => ({ checkpoint_id })),
  known("checkpoint_id").map((checkpoint_id) => ({ checkpoint_id, checkpoint_ns: "" })),
  fc.constant({ checkpoint_ns: "outer" }),
);
const configurable = fc.oneof(
  fc.dictionary(text, json(1), { maxKeys: 2 }),
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
  "own assistant_id": known("own assistant_id"),
  "dead run_id": known("dead run_id"),
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
  // The first is refused by the guard, which gives it up at once; the second is tried again.
  webhook: fc.constantFrom("https://localhost/x", "https://hook.invalid/x", "http://localhost/x", "/loop"),
  agent: fc.constantFrom("steps", "chat"),
  basename: fc.constantFrom("entrypoint.js", "entrypoint.css"),
  namespace: fc.oneof(labels, fc.constantFrom("a", "a.b", "outer")),
  namespace_prefix: labels,
  prefix: fc.oneof(labels, fc.constant(["*"])),
  suffix: fc.oneof(labels, fc.constant(["*"])),
  key: text,
  value: fc.dictionary(text, json(2), { maxKeys: 3 }),
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

const reason = fc.constantFrom("a duplicate", "x");
const which = fc.oneof(
  fc.record({ group: known("fingerprint") }),
  fc.record({ run_ids: knownList("run_id") }),
  fc.record({ filter: fc.record({ graph_id: graph }) }),
);

/** Bodies whose fields only make sense together, by operation. */
export const goodBodies: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  cancelRuns: fc.oneof(
    fc.record({ status: fc.constantFrom("pending", "running", "all") }),
    fc.record({ thread_id: known("thread_id"), run_ids: knownList("run_id") }),
  ),
  discardDeadLetters: fc
    .tuple(which, reason, fc.boolean())
    .map(([some, why, dry_run]) => ({ ...some, reason: why, dry_run })),
  discardDeadLetter: fc.record({ reason }),
  redriveDeadLetters: fc.tuple(which, fc.boolean()).map(([some, dry_run]) => ({ ...some, dry_run })),
  updateState: fc.oneof(
    fc.record({ values: fc.constant({ seen: ["u"] }), as_node: node }),
    fc.record({ values: fc.constantFrom({ seen: ["u"] }, { answer: 1 }) }),
  ),
  decideEscalation: fc.oneof(
    fc.record({ decision: fc.constantFrom("accept", "edit", "ignore"), args: fc.constant({ to: "b" }) }),
    fc.record({ resume: answer }),
  ),
  sendCommand: fc
    .record({ id: fc.nat(), method: fc.constantFrom("run.start", "state.get", "agent.getTree") })
    .map(({ id, method }) => ({
      id,
      method,
      params: method === "run.start" ? { assistant_id: "steps", input: {} } : {},
    })),
  streamThreadEvents: fc.record({
    channels: fc.subarray(["values", "updates", "lifecycle"], { minLength: 1 }),
  }),
  setLatestAssistantVersion: fc.record({ version: fc.constant(1) }),
  patchAssistant: fc.record({ metadata: fc.constant({ a: 1 }), name: text }),
  patchCron: fc.record({ enabled: fc.boolean(), schedule: fc.constantFrom("0 * * * *", "@daily") }),
};
