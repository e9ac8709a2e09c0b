import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createApp } from "../../src/http/app.ts";
import { inLanes } from "../exhaustive/lanes.ts";
import { createTestDatabase } from "../support/database.ts";
import { expireLeases } from "../support/factory.ts";
import { type HoldfastProcess, startHoldfast } from "../support/holdfast-process.ts";
import { checkInvariants } from "../support/invariants.ts";
import { type PackedProgram, packProgram } from "../support/packed-program.ts";
import { startRuntime } from "../support/runtime.ts";

type Send = (pathname: string, init?: RequestInit) => Promise<Response>;

interface Scenario {
  threadId: string;
  journal: string;
  acknowledged: Set<string>;
}

const nodesExpected = ["a", "b", "gate", "gate", "c", "d"];
const secondsMax = 20;

/** Start, wait for the question, answer it, wait for the end. Every request may be sent again with the same key. */
async function play(send: Send, { threadId, journal, acknowledged }: Scenario): Promise<void> {
  const start = await post(send, threadId, "start", { input: { journal } });
  acknowledged.add(start);
  await end(send, threadId, start);
  const resume = await post(send, threadId, "resume", { command: { resume: "yes" } });
  acknowledged.add(resume);
  await end(send, threadId, resume);
}

async function post(send: Send, threadId: string, key: string, body: object): Promise<string> {
  const response = await send(`/threads/${threadId}/runs`, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": `${threadId}:${key}` },
    body: JSON.stringify({
      assistant_id: "recorded",
      if_not_exists: "create",
      stream_mode: ["values", "updates"],
      ...body,
    }),
  });
  if (!response.ok) throw new Error(`${key}: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { run_id: string }).run_id;
}

async function end(send: Send, threadId: string, runId: string): Promise<void> {
  const response = await send(`/threads/${threadId}/runs/${runId}/join`);
  if (!response.ok) throw new Error(`join: ${response.status}`);
  await response.json();
}

const overHttp =
  (victim: HoldfastProcess): Send =>
  (pathname, init) =>
    fetch(victim.url + pathname, { ...init, signal: AbortSignal.timeout(secondsMax * 1000) });

const countsOf = (names: string[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
};

let folder: string;
let program: PackedProgram;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "holdfast-crash-"));
  program = await packProgram({ graphs: "test/graphs/langgraph.json" });
});
afterAll(async () => {
  await program.remove();
  await rm(folder, { recursive: true, force: true });
});

const startVictim = (url: string, failpoints: object): Promise<HoldfastProcess> =>
  startHoldfast(
    {
      DATABASE_URL: url,
      LANGGRAPH_JSON: program.graphs,
      HOLDFAST_FAILPOINTS: JSON.stringify(failpoints),
    },
    program,
  );

/** Every boundary on the run's path, in order, as the program itself recorded them. */
async function recordedBoundaries(): Promise<string[]> {
  const database = await createTestDatabase();
  const record = path.join(folder, "boundaries");
  const victim = await startVictim(database.url, { record });
  const scenario = {
    threadId: randomUUID(),
    journal: path.join(folder, "recording"),
    acknowledged: new Set<string>(),
  };
  await play(overHttp(victim), scenario);
  victim.kill("SIGTERM");
  await victim.exited;
  await database.drop();
  return (await readFile(record, "utf8")).trim().split("\n");
}

async function killAt(boundary: string): Promise<void> {
  const [name, nth] = boundary.split("#");
  const database = await createTestDatabase();
  const at = { name, nth: Number(nth), action: "SIGKILL" };
  const victim = await startVictim(database.url, { at });
  const scenario = {
    threadId: randomUUID(),
    journal: path.join(folder, randomUUID()),
    acknowledged: new Set<string>(),
  };
  const runtime = await startRuntime({ url: database.url });
  try {
    await play(overHttp(victim), scenario).catch(() => undefined);
    expect(await victim.exited, `the program dies at ${boundary}`).toMatchObject({ signal: "SIGKILL" });
    await expireLeases(runtime.db);
    runtime.work({ leaseSeconds: 1 });
    const app = createApp({ ...runtime, config: testConfig, ready: async () => true });
    await play(async (pathname, init) => app.request(pathname, init), scenario);
    await checkInvariants(runtime.db, [...scenario.acknowledged]);
    const { rows } = await runtime.db.query({ text: `select "values" from holdfast.threads`, values: [] });
    expect(JSON.parse(String(rows[0]?.values)).log).toEqual(["a", "b", "gate:yes", "c", "d"]);
    const calls = (await readFile(`${scenario.journal}.calls`, "utf8")).trim().split("\n");
    expect(new Set(calls).size, "the world saw one payment").toBe(1);
    expect(calls.length).toBeLessThanOrEqual(boundary.startsWith("effect.performed") ? 2 : 1);
    const done = (await readFile(scenario.journal, "utf8")).trim().split("\n");
    const repeated = done.length - nodesExpected.length;
    expect(repeated, `a kill repeats at most one step: ${done.join(" ")}`).toBeLessThanOrEqual(1);
    for (const [node, times] of Object.entries(countsOf(nodesExpected))) {
      expect(countsOf(done)[node], node).toBeGreaterThanOrEqual(times);
    }
  } finally {
    await victim.end();
    await runtime.close();
    await database.drop();
  }
}

const testConfig = {
  version: "test",
  bodyBytesMax: 1_048_576,
  heartbeatSeconds: 5,
  pollMillis: 200,
  authRequired: false,
  requestsPerSecondMax: 0,
  streamsPerPrincipalMax: 0,
  webhooksPrivate: false,
};

describe("kill -9", () => {
  it("at every boundary of a run leaves a second worker to finish it, with every invariant kept", async () => {
    const boundaries = await recordedBoundaries();
    expect(new Set(boundaries.map((boundary) => boundary.split("#")[0]))).toEqual(
      new Set([
        "run.before_commit",
        "run.accepted",
        "run.claimed",
        "checkpoint.before_commit",
        "checkpoint.committed",
        "write.before_commit",
        "write.committed",
        "interrupt.before_commit",
        "interrupt.written",
        "decision.taken",
        "effect.prepared",
        "effect.dispatched",
        "effect.performed",
        "effect.succeeded",
        "resume.before_commit",
        "resume.begun",
        "settle.before",
        "settle.before_commit",
        "settle.after",
      ]),
    );
    await inLanes(boundaries, killAt);
    console.log(`kill -9 at ${boundaries.length} boundaries, 0 violations`);
  });
});
