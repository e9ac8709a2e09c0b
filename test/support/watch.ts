import type { Bus } from "../../src/db/listen.ts";
import type { Database } from "../../src/db/pool.ts";
import { whole } from "../../src/db/queries/parts.ts";
import type { RunWithOutput } from "../../src/db/queries/rows.ts";
import { isTerminal } from "../../src/domain/run.ts";
import { runById } from "./factory.ts";

const untilMillisMax = 20_000;
const lookMillis = 250;

/** Waits for a condition, looking again whenever a run has news. */
export async function until<T>(bus: Bus, look: () => Promise<T | undefined>, what: string): Promise<T> {
  const deadline = Date.now() + untilMillisMax;
  while (Date.now() < deadline) {
    const news = nextNews(bus);
    const found = await look();
    if (found !== undefined) {
      news.cancel();
      return found;
    }
    await news.arrived;
  }
  throw new Error(`waited ${untilMillisMax} ms for ${what}`);
}

function nextNews(bus: Bus): { arrived: Promise<void>; cancel: () => void } {
  let cancel: () => void = () => undefined;
  const arrived = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, lookMillis);
    const unsubscribes = (["run", "events"] as const).map((topic) => bus.subscribe(topic, () => resolve()));
    cancel = () => {
      clearTimeout(timer);
      for (const unsubscribe of unsubscribes) unsubscribe();
    };
  }).finally(() => cancel());
  return { arrived, cancel };
}

export function untilEnded({ db, bus }: { db: Database; bus: Bus }, runId: string): Promise<RunWithOutput> {
  const look = async (): Promise<RunWithOutput | undefined> => {
    const run = await runById(db, runId);
    return run !== undefined && isTerminal(run.status) ? run : undefined;
  };
  return until(bus, look, `run ${runId} to end`);
}

export async function eventsOf(
  db: Database,
  runId: string,
): Promise<{ seq: number; event: string; data: unknown; attempt: number }[]> {
  const { rows } = await db.query({
    text: `select e.seq, event, ${whole("thread_id", "data")} as data, e.attempt
             from holdfast.run_events e join holdfast.runs using (run_id) where run_id = $1 order by e.seq`,
    values: [runId],
  });
  return rows.map((row) => ({ ...row, data: JSON.parse(row.data as string) })) as never;
}
