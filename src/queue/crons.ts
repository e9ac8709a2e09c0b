import type { Bus } from "../db/listen.ts";
import type { Database } from "../db/pool.ts";
import { getAssistant } from "../db/queries/assistants.ts";
import { lockThread } from "../db/queries/create.ts";
import * as crons from "../db/queries/crons.ts";
import type { CronRow } from "../db/queries/rows.ts";
import { one, type Queryable } from "../db/query.ts";
import { classify } from "../domain/classify.ts";
import { Conflict, NotFound, Transient } from "../domain/errors.ts";
import { isToFire, nextTick } from "../domain/schedule.ts";
import { announceRun, requestOf } from "./asked.ts";
import { type Accepted, createInTransaction } from "./create.ts";

const cronsPerPassMax = 100;
/** So that a tenant with thousands of them does not hold up the others. */
const cronsOfTenantPerPassMax = 25;
/** A cron whose runs nobody gets done starts no more of them. */
export const openRunsOfCronMax = 10;
const errorCharsMax = 500;

export type TickEnd =
  | { kind: "fired"; accepted: Accepted }
  | { kind: "skipped" }
  | { kind: "failed"; error: unknown }
  /** Another scheduler had it, or the cron was changed or deleted meanwhile. */
  | { kind: "taken" };

export interface CronPass {
  fired: number;
  skipped: number;
  failed: number;
}

interface Hooks {
  /** Called for a tick whose run could not be made: the cron keeps the error and goes on to its next tick. */
  onFailed?: (cron: crons.DueTick, error: unknown) => void;
  /** Called for a tick that is tried again in the next pass, so that it does not stand in the way of the others. */
  onError?: (error: unknown) => void;
}

/** One pass over the crons that are due. However many ticks a cron has missed, it fires once at most. */
export async function fireDueCrons(
  { db, bus }: { db: Database; bus: Bus },
  { onFailed, onError = rethrow }: Hooks = {},
): Promise<CronPass> {
  const pass: CronPass = { fired: 0, skipped: 0, failed: 0 };
  for (const due of await crons.dueCrons(db, {
    limit: cronsPerPassMax,
    perTenantMax: cronsOfTenantPerPassMax,
  })) {
    const end = await tick(db, due).catch(onError);
    if (end === undefined || end.kind === "taken") continue;
    pass[end.kind] += 1;
    if (end.kind === "fired") announceRun(bus, end.accepted);
    if (end.kind === "failed") onFailed?.(due, end.error);
  }
  return pass;
}

const rethrow = (error: unknown): never => {
  throw error;
};

async function tick(db: Database, due: crons.DueTick): Promise<TickEnd> {
  try {
    return await db.transaction((tx) => fire(tx, due));
  } catch (error) {
    if (classify(error) instanceof Transient) throw error;
    return fail(db, due, error);
  }
}

/** The run and the move to the next tick become true together. The thread comes first, as everywhere. */
async function fire(tx: Queryable, due: crons.DueTick): Promise<TickEnd> {
  const { tenant, thread_id: threadId } = due;
  const thread = threadId === null ? undefined : one(await lockThread(tx, { threadId, tenant }));
  const cron = one(await crons.holdTick(tx, { cronId: due.cron_id, due: due.next_run_date }));
  if (cron === undefined) return { kind: "taken" };
  const when = { due: cron.next_run_date, now: cron.now };
  if (!isToFire({ missed: cron.missed, endTime: cron.end_time }, when)) {
    await endTick(tx, cron, { runId: null, error: null });
    return { kind: "skipped" };
  }
  const assistant = one(await getAssistant(tx, { assistantId: cron.assistant_id, tenant: cron.tenant }));
  if (assistant === undefined) throw new NotFound("Assistant not found");
  await refuseTooMany(tx, cron);
  const body = {
    ...cron.payload,
    metadata: { ...cron.metadata, cron_id: cron.cron_id },
    on_completion: cron.on_run_completed,
  };
  const principal = { name: cron.principal, tenant };
  const request = requestOf({ body, threadId, idempotencyKey: null, principal }, { assistant, thread });
  const accepted = await createInTransaction(tx, request);
  const ended = await endTick(tx, cron, { runId: accepted.run.run_id, error: null });
  if (!ended) throw new Conflict(`another scheduler had the tick of cron ${cron.cron_id}`);
  return { kind: "fired", accepted };
}

async function refuseTooMany(tx: Queryable, { cron_id: cronId, tenant }: CronRow): Promise<void> {
  const open = one(await crons.countOpenOfCron(tx, { cronId, tenant })) ?? 0;
  if (open < openRunsOfCronMax) return;
  throw new Conflict(`${open} runs of this cron are not finished: no more are started`);
}

async function fail(db: Database, due: crons.DueTick, error: unknown): Promise<TickEnd> {
  const text = error instanceof Error ? error.message : String(error);
  const ended = await endTick(db, due, { runId: null, error: text.slice(0, errorCharsMax) });
  return ended ? { kind: "failed", error } : { kind: "taken" };
}

async function endTick(
  db: Queryable,
  cron: crons.DueTick,
  end: { runId: string | null; error: string | null },
): Promise<boolean> {
  const key = { cronId: cron.cron_id, due: cron.next_run_date };
  return (await crons.endTick(db, { ...key, ...nextOf(cron, end.error), runId: end.runId })).length > 0;
}

/** A cron whose zone this process does not know stops: it would be due for ever. */
function nextOf(cron: crons.DueTick, error: string | null): { next: Date | null; error: string | null } {
  const { schedule, timezone, end_time: endTime, now } = cron;
  try {
    return { next: nextTick({ schedule, timezone, endTime }, now), error };
  } catch (cause) {
    return { next: null, error: (cause as Error).message };
  }
}
