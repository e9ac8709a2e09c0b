import { setTimeout as sleep } from "node:timers/promises";
import type { EffectLine } from "../support/effect-log.ts";
import type { Plant } from "./plant.ts";

const lookMillis = 500;
const requestMillisMax = 5_000;
/** A request that the sink has in hand when its caller dies may still take place. */
const doubtMillis = 1_000;

interface Question {
  escalation_id: string;
  thread_id: string;
  created_at: string;
  payload: unknown;
}

export interface Robot {
  readonly answered: { done: number; absent: number };
  stop(): Promise<void>;
}

/** Answers "did this happen?" as a careful human does: by what the outside world has written down. */
export function startRobot(plant: Plant, aboutOf: ReadonlyMap<string, string>): Robot {
  const stopped = new AbortController();
  const answered = { done: 0, absent: 0 };
  const loop = (async () => {
    while (!stopped.signal.aborted) {
      await sleep(lookMillis, undefined, { signal: stopped.signal }).catch(() => undefined);
      // The API may be without a database just now: the question is still there in the next round.
      await round(plant, aboutOf, answered).catch(() => undefined);
    }
  })();
  return {
    answered,
    async stop() {
      stopped.abort();
      await loop;
    },
  };
}

async function round(
  { api, sink }: Plant,
  aboutOf: ReadonlyMap<string, string>,
  answered: Robot["answered"],
): Promise<void> {
  const response = await fetch(`${api.url}/escalations?status=open&limit=100`, {
    signal: AbortSignal.timeout(requestMillisMax),
  });
  const open = (await response.json()) as Question[];
  const due = open.filter(({ created_at }) => Date.now() - Date.parse(created_at) > doubtMillis);
  if (due.length === 0) return;
  const log = await sink.lines();
  for (const question of due) {
    const about = aboutOf.get(question.thread_id);
    const line = log.find((one) => one.about === about && one.what === "committed");
    const sent = await fetch(`${api.url}/escalations/${question.escalation_id}/decide`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(answerOf(line)),
      signal: AbortSignal.timeout(requestMillisMax),
    });
    if (!sent.ok) continue;
    if (line === undefined) answered.absent += 1;
    else answered.done += 1;
  }
}

/** The result goes along, so that the graph holds what the call would have returned. */
export function answerOf(line: EffectLine | undefined): object {
  if (line === undefined) return { decision: "ignore" };
  const { tool, about, key, receipt } = line;
  return { decision: "response", args: JSON.stringify({ tool, about, key, receipt }) };
}
