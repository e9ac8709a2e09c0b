import { escalationsOfThread } from "../db/queries/escalations.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { getRun } from "../db/queries/runs.ts";
import { getThread } from "../db/queries/threads.ts";
import { one } from "../db/query.ts";
import { classify } from "../domain/classify.ts";
import { Transient } from "../domain/errors.ts";
import { isTerminal } from "../domain/run.ts";
import type { HttpDeps } from "./deps.ts";
import { pulled } from "./pulled.ts";

/** Proxies close connections that stay silent; JSON allows line breaks in front. */
const keepAliveMillis = 1_000;

export interface RunName {
  runId: string;
  threadId: string;
  tenant: string;
}

/** The run when it has ended; undefined when it is gone, or when the signal aborts first. */
export async function waitForEnd(
  deps: Pick<HttpDeps, "db" | "wakes" | "config">,
  name: RunName,
  signal: AbortSignal,
): Promise<RunRow | undefined> {
  for await (const run of untilEnd(deps, name, signal)) {
    if (run !== "not yet") return run;
  }
  return undefined;
}

/** The run when it has ended, undefined when it is gone; before that a sign of life now and then. */
async function* untilEnd(
  { db, wakes, config }: Pick<HttpDeps, "db" | "wakes" | "config">,
  { runId, threadId, tenant }: RunName,
  signal: AbortSignal,
): AsyncGenerator<RunRow | undefined | "not yet"> {
  const wake = wakes.on({ kind: "end", id: runId });
  try {
    while (!signal.aborted) {
      const run = await getRun(db, { runId, threadId, tenant }).then(one, orAway);
      if (run === undefined || (run !== "away" && isTerminal(run.status))) {
        yield run;
        return;
      }
      const millis = run === "away" ? config.pollMillis : keepAliveMillis;
      while (!(await wake.wait(millis, signal)) && !signal.aborted) {
        yield "not yet";
        if (run === "away") break;
      }
    }
  } finally {
    wake.close();
  }
}

function orAway(error: unknown): "away" {
  if (classify(error) instanceof Transient) return "away";
  throw error;
}

/** Waits with line breaks, then sends the run's values as JSON. */
export function respondAtEnd(
  deps: HttpDeps,
  name: RunName,
  { headers, onDisconnect }: { headers: Record<string, string>; onDisconnect?: () => void },
): Response {
  const body = pulled(
    (signal) => linesThenValues(deps, name, signal),
    onDisconnect === undefined ? {} : { onCancel: onDisconnect },
  );
  return new Response(body, { headers: { "content-type": "application/json", ...headers } });
}

async function* linesThenValues(deps: HttpDeps, name: RunName, signal: AbortSignal): AsyncGenerator<string> {
  for await (const run of untilEnd(deps, name, signal)) {
    if (run === "not yet") yield "\n";
    else yield await finalValues(deps, name, run);
  }
}

/** JSON text: the values, with the questions the run stopped at, as the graph's own `invoke` returns them. */
async function finalValues(
  { db }: HttpDeps,
  { threadId, tenant }: RunName,
  run: RunRow | undefined,
): Promise<string> {
  if (run === undefined) return failure("Cancelled", "the run was rolled back or deleted");
  if (run.status === "error" || run.status === "timeout") {
    return failure(run.error?.name ?? "Error", run.error?.message ?? "the run failed");
  }
  if (run.status === "interrupted") {
    const thread = one(await getThread(db, { threadId, tenant }));
    return thread?.values ?? "null";
  }
  const output = run.output ?? "null";
  const asked = (await escalationsOfThread(db, { threadId })).filter(
    (question) => question.run_id === run.run_id,
  );
  if (asked.length === 0) return output;
  const values = JSON.parse(output) as Record<string, unknown> | null;
  const __interrupt__ = asked.map((question) => ({
    id: question.interrupt_id,
    value: JSON.parse(question.payload) as unknown,
  }));
  return JSON.stringify({ ...values, __interrupt__ });
}

const failure = (error: string, message: string): string => JSON.stringify({ __error__: { error, message } });
