import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { ChaosTool } from "../graphs/chaos.ts";

/** One run to be: which thread, which tool. The same for the same number and seed. */
export interface PlannedRun {
  name: string;
  threadId: string;
  tool: ChaosTool;
  runId?: string;
}

const clientsMax = 8;
const triesMax = 300;
const tryMillis = 200;
const requestMillisMax = 10_000;

/** Nine in ten runs charge, two on each thread; the others book or mail, each on a thread of its own. */
export function planRuns(runs: number, seed: number): PlannedRun[] {
  return Array.from({ length: runs }, (_, n) => {
    const tool: ChaosTool = n % 20 === 18 ? "book" : n % 20 === 19 ? "mail" : "charge";
    const thread = tool === "charge" ? `pair-${n >> 1}` : `single-${n}`;
    return { name: `run-${n}`, threadId: uuidOf(`${seed}|${thread}`), tool };
  });
}

function uuidOf(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Creates every run over HTTP, each request sent again with its key until it is acknowledged. */
export async function createRuns(
  plan: readonly PlannedRun[],
  { api, sink, open }: { api: string; sink: string; open: () => boolean },
): Promise<void> {
  let next = 0;
  const client = async (): Promise<void> => {
    for (;;) {
      const run = plan[next];
      next += 1;
      if (run === undefined || !open()) return;
      run.runId = await createOne(api, sink, run);
    }
  };
  await Promise.all(Array.from({ length: clientsMax }, client));
}

async function createOne(api: string, sink: string, { name, threadId, tool }: PlannedRun): Promise<string> {
  for (let attempt = 0; attempt < triesMax; attempt += 1) {
    const response = await fetch(`${api}/threads/${threadId}/runs`, {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": `chaos:${name}` },
      body: JSON.stringify({
        assistant_id: "chaos",
        if_not_exists: "create",
        input: { run: name, tool, sink },
      }),
      signal: AbortSignal.timeout(requestMillisMax),
    }).catch(() => undefined);
    if (response?.ok) return ((await response.json()) as { run_id: string }).run_id;
    if (response !== undefined && response.status < 500 && response.status !== 429)
      throw new Error(`${name}: ${response.status} ${await response.text()}`);
    await sleep(tryMillis);
  }
  throw new Error(`${name} was never accepted`);
}
