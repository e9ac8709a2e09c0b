import { setTimeout as sleep } from "node:timers/promises";
import type { Queryable } from "../../src/db/query.ts";
import { answerOf } from "../chaos/robot.ts";
import type { EffectLine } from "../support/effect-log.ts";
import type { EffectSink } from "../support/effect-sink.ts";
import type { Scene } from "./scene.ts";

export type Send = (pathname: string, init?: RequestInit) => Promise<Response>;

/** One play of a scene on one thread. It can be played again from the start, by another server, after any crash. */
export interface Play {
  scene: Scene;
  threadId: string;
  about: string;
  acknowledged: Set<string>;
  db: Queryable;
  sink: EffectSink;
}

const lookMillis = 25;
/** Far more than any play takes: what is stuck stays so, and a slow machine gets there. */
const playMillisMax = 90_000;

/** Starts the run, answers what is asked, and waits until nothing is open. Throws when `given up` or too late. */
export async function playScene(play: Play, send: Send, givenUp: AbortSignal): Promise<void> {
  const { run_id } = await post(play, send, `/threads/${play.threadId}/runs`, {
    assistant_id: play.scene.name,
    if_not_exists: "create",
    stream_mode: ["values", "updates"],
    input: play.scene.input({ sink: play.sink.url, about: play.about }),
  });
  play.acknowledged.add(String(run_id));
  const deadline = Date.now() + playMillisMax;
  while (Date.now() < deadline) {
    givenUp.throwIfAborted();
    const { open, questions } = await openOf(play.db);
    if (open === 0 && questions.length === 0) return;
    if (open === 0) await answer(play, send, questions[0] as Question);
    await sleep(lookMillis);
  }
  throw new Error(`not at its end after ${playMillisMax} ms`);
}

/** As a client does: a server that is stopped in a transaction keeps its locks until Postgres ends its session. */
async function patiently(send: Send, pathname: string, init: RequestInit): Promise<Response> {
  const deadline = Date.now() + playMillisMax;
  for (;;) {
    const response = await send(pathname, init);
    if (response.status !== 503 || Date.now() > deadline) return response;
    await response.arrayBuffer();
    await sleep(lookMillis);
  }
}

async function post(
  { threadId }: Play,
  send: Send,
  pathname: string,
  body: object,
): Promise<Record<string, unknown>> {
  const response = await patiently(send, pathname, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": `${threadId}:${pathname}` },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${pathname}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
}

interface Question {
  escalation_id: string;
  effect_id: string | null;
  /** About an effect that could not be undone. */
  compensation: boolean;
  payload: string;
}

export async function openOf(db: Queryable): Promise<{ open: number; questions: Question[] }> {
  const { rows: runs } = await db.query({
    text: "select run_id from holdfast.runs where status in ('queued', 'blocked', 'running')",
    values: [],
  });
  const { rows: questions } = await db.query({
    text: `select escalation_id, effect_id, compensation, payload from holdfast.escalations
            where status = 'open' order by created_at, ordinal, escalation_id`,
    values: [],
  });
  return { open: runs.length, questions: questions as unknown as Question[] };
}

/** About an effect, by what the sink has written down; about anything else, as the scene says. */
async function answer(
  play: Play,
  send: Send,
  { escalation_id, effect_id, payload, compensation }: Question,
): Promise<void> {
  const { scene } = play;
  const body =
    effect_id === null
      ? { resume: scene.answer?.(JSON.parse(payload)) }
      : compensation
        ? await afterAStuckUndo(play, effect_id)
        : answerOf(await lineOrNothing(play, await toolOf(play, effect_id)));
  const response = await patiently(send, `/escalations/${escalation_id}/decide`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  // Answered already: a crash may have come between the answer and its reply.
  if (!response.ok && response.status !== 409)
    throw new Error(`decide: ${response.status} ${await response.text()}`);
  await response.arrayBuffer().catch(() => undefined);
}

/** Undone already: nothing is left. Done, which the ledger may not know: undo it. Never done: nothing to undo. */
async function afterAStuckUndo(play: Play, effectId: string): Promise<object> {
  const tool = await toolOf(play, effectId);
  const [done, undone] = [await lineOrNothing(play, tool), await lineOrNothing(play, `undo-${tool}`)];
  if (done === undefined || undone !== undefined) return { decision: "accept" };
  const { rows } = await play.db.query({
    text: "select state from holdfast.effects where effect_id = $1",
    values: [effectId],
  });
  if (!["dispatched", "unknown", "escalated"].includes(String(rows[0]?.state)))
    return { decision: "response", args: "try again" };
  const { about, key, receipt } = done;
  return { decision: "edit", args: { result: { tool, about, key, receipt } } };
}

async function toolOf({ db }: Play, effectId: string): Promise<string> {
  const { rows } = await db.query({
    text: "select tool from holdfast.effects where effect_id = $1",
    values: [effectId],
  });
  return String(rows[0]?.tool);
}

/**
 * A call that the sink has in hand when its caller stops may still take place: as a careful human does, what is not
 * written down is looked for until the longest request of these graphs would have been given up.
 */
const doubtMillisMax = 2_500;

async function lineOrNothing(play: Play, tool: string): Promise<EffectLine | undefined> {
  const deadline = performance.now() + doubtMillisMax;
  for (;;) {
    const line = await lineOf(play, tool);
    if (line !== undefined || performance.now() > deadline) return line;
    await sleep(lookMillis);
  }
}

async function lineOf({ sink, about }: Play, tool: string): Promise<EffectLine | undefined> {
  const lines = await sink.lines();
  return lines.find((line) => line.about === about && line.tool === tool && line.what === "committed");
}
