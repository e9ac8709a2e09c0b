import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { describe, expect, it } from "vitest";
import type { Database } from "../../src/db/pool.ts";
import { createRun } from "../../src/queue/create.ts";
import { createTestDatabase } from "../support/database.ts";
import { expireLeases, runRequest } from "../support/factory.ts";
import { type HoldfastProcess, startHoldfast } from "../support/holdfast-process.ts";
import { deafToHeartbeats, type Mutation, mutantOf, unfencedCheckpoints } from "../support/mutant.ts";
import { startRuntime } from "../support/runtime.ts";
import { untilEnded } from "../support/watch.ts";

const lookMillis = 50;
const looksMax = 1_200;

/** Every row that a holder of a thread can write, with who wrote it. */
async function everything(db: Database): Promise<unknown> {
  const tables = {
    checkpoints:
      "select thread_id, checkpoint_id, parent_checkpoint_id, checkpoint::text, run_id, epoch, seq from public.checkpoints order by seq",
    blobs:
      "select thread_id, channel, version, encode(blob, 'hex') as blob from public.checkpoint_blobs order by 1, 2, 3",
    writes:
      "select checkpoint_id, task_id, idx, channel, encode(blob, 'hex') as blob, epoch from public.checkpoint_writes order by 1, 2, 3",
    events: "select run_id, seq, attempt, event, data from holdfast.run_events order by 1, 2",
    runs: "select run_id, status, epoch, attempt, output, error from holdfast.runs order by 1",
    attempts: "select run_id, epoch, outcome from holdfast.run_attempts order by 1, 2",
    threads: `select thread_id, status, epoch, "values", interrupts from holdfast.threads order by 1`,
    escalations: "select escalation_id, status, decision from holdfast.escalations order by 1",
  };
  const rows: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(tables)) rows[name] = (await db.query({ text, values: [] })).rows;
  return rows;
}

async function until(look: () => boolean | Promise<boolean>, what: () => string): Promise<void> {
  for (let looks = 0; looks < looksMax; looks += 1) {
    if (await look()) return;
    await sleep(lookMillis);
  }
  throw new Error(`waited ${(looksMax * lookMillis) / 1_000} s for ${what()}`);
}

const saysThatItsLeaseIsLost = ({ lines }: HoldfastProcess): boolean =>
  lines.some(({ msg }) => String(msg).includes("lease lost"));

const isStopped = async ({ pid }: HoldfastProcess): Promise<boolean> =>
  /\) T /.test(await readFile(`/proc/${pid}/stat`, "utf8"));

/** A worker stops at `boundary`, another one finishes its run, the first wakes up: what changed in the database. */
async function wakeZombie(boundary: { name: string; nth: number }, mutations: Mutation[] = []) {
  const database = await createTestDatabase();
  const runtime = await startRuntime({ url: database.url });
  const mutant = mutations.length > 0 ? await mutantOf(mutations) : undefined;
  const fenced = !mutations.includes(unfencedCheckpoints);
  const request = runRequest({
    graphId: "recorded",
    kwargs: { input: { journal: path.join(tmpdir(), randomUUID()) }, stream_mode: ["values", "updates"] },
  });
  const { run } = await createRun(runtime.db, request);
  const at = { ...boundary, action: "SIGSTOP" };
  const environment = {
    DATABASE_URL: database.url,
    LEASE_SECONDS: "2",
    HOLDFAST_FAILPOINTS: JSON.stringify({ at }),
  };
  const victim = await startHoldfast(environment, mutant === undefined ? {} : { dist: mutant.dist });
  try {
    await until(
      () => isStopped(victim),
      () => "the victim to reach its boundary",
    );
    await expireLeases(runtime.db);
    // A short lease, for the grace after a start of Postgres is one lease long.
    const heir = runtime.work({ leaseSeconds: 1 });
    await untilEnded(runtime, run.run_id);
    await heir.stop(1_000);
    const before = await everything(runtime.db);
    victim.kill("SIGCONT");
    await until(
      async () =>
        fenced ? saysThatItsLeaseIsLost(victim) : !isDeepStrictEqual(await everything(runtime.db), before),
      () => `the zombie to be at its end: ${victim.lines.map(({ msg }) => msg).join(" | ")}`,
    );
    const metrics = await (await fetch(`${victim.url}/metrics`)).text();
    return { before, after: await everything(runtime.db), metrics };
  } finally {
    await victim.end();
    await runtime.close();
    await mutant?.remove();
    await database.drop();
  }
}

const boundaries = [
  { name: "checkpoint.before_commit", nth: 3 },
  { name: "write.before_commit", nth: 2 },
  { name: "interrupt.before_commit", nth: 1 },
  { name: "settle.before", nth: 1 },
];

describe("a worker that was stopped past its lease", () => {
  it("writes nothing after SIGCONT, whether its heartbeat tells it or the fence", async () => {
    const { before, after, metrics } = await wakeZombie({ name: "checkpoint.before_commit", nth: 3 });
    expect(after).toEqual(before);
    expect(metrics).toMatch(/holdfast_lease_lost_total 1/);
  });

  it.each(boundaries)("is held by the fence alone when it was stopped at $name", async (boundary) => {
    const { before, after, metrics } = await wakeZombie(boundary, [deafToHeartbeats]);
    expect(after).toEqual(before);
    expect(metrics).toMatch(/holdfast_fenced_writes_total\{kind="\w+"\} [1-9]/);
    expect(metrics).toMatch(/holdfast_lease_lost_total 1/);
  });

  it("does write when the fence is taken out of the program, so that this test has teeth", async () => {
    const mutations = [deafToHeartbeats, unfencedCheckpoints];
    const { before, after } = await wakeZombie({ name: "checkpoint.before_commit", nth: 3 }, mutations);
    expect(after).not.toEqual(before);
  });
});
