import { randomUUID } from "node:crypto";
import type { Database } from "../../src/db/pool.ts";
import { claimNext } from "../../src/db/queries/claim.ts";
import { whole } from "../../src/db/queries/parts.ts";
import type { RunRow, RunWithOutput, ThreadRow } from "../../src/db/queries/rows.ts";
import { newId, systemAssistantId } from "../../src/domain/ids.ts";
import type { RunStatus } from "../../src/domain/run.ts";
import { createRun } from "../../src/queue/create.ts";
import type { CreateRun } from "../../src/queue/request.ts";

export const leaseSeconds = 30;

export async function makeThread(db: Database, threadId: string = newId()): Promise<ThreadRow> {
  const { rows } = await db.query({
    text: "insert into holdfast.threads (thread_id) values ($1) on conflict do nothing returning *",
    values: [threadId],
  });
  return rows[0] as unknown as ThreadRow;
}

export function runRequest(overrides: Partial<CreateRun> = {}): CreateRun {
  const graphId = overrides.graphId ?? "steps";
  return {
    tenant: "default",
    threadId: newId(),
    assistantId: systemAssistantId(graphId),
    graphId,
    kwargs: { input: {}, stream_mode: ["values"] },
    metadata: {},
    threadConfig: null,
    multitaskStrategy: "enqueue",
    afterSeconds: 0,
    temporary: false,
    createThread: true,
    attemptsMax: 5,
    redriveOf: null,
    idempotencyKey: null,
    principal: "tester",
    ...overrides,
  };
}

/** A run in the given status, with what that status implies. */
export async function makeRun(
  db: Database,
  status: Extract<RunStatus, "queued" | "blocked" | "running">,
  overrides: Partial<CreateRun> = {},
): Promise<RunRow> {
  const graphId = overrides.graphId ?? `graph-${randomUUID()}`;
  const request = runRequest({ ...overrides, graphId });
  if (status === "blocked") await createRun(db, request);
  const { run } = await createRun(db, request);
  if (status !== "running") return run;
  const [claimed] = await claimNext(db, { workerId: "test-worker", graphIds: [graphId], leaseSeconds });
  if (claimed === undefined) throw new Error("the run could not be claimed");
  return claimed;
}

export async function runById(db: Database, runId: string): Promise<RunWithOutput> {
  const { rows } = await db.query({
    text: `select r.*, ${whole("r.thread_id", "r.output")} as output from holdfast.runs r where run_id = $1`,
    values: [runId],
  });
  return rows[0] as unknown as RunWithOutput;
}

/** Ends every lease now, as if its time had passed. */
export async function expireLeases(db: Database): Promise<void> {
  await db.query({
    text: "update holdfast.runs set lease_until = holdfast.now() - interval '1 second' where status = 'running'",
    values: [],
  });
}
