import { getThread } from "../db/queries/threads.ts";
import { one } from "../db/query.ts";
import { classify } from "../domain/classify.ts";
import { Transient } from "../domain/errors.ts";
import { isTerminal } from "../domain/run.ts";
import type { RunEnd, RunName } from "../domain/run-end.ts";
import type { HttpDeps } from "./deps.ts";
import { pulled } from "./pulled.ts";

/** Proxies close connections that stay silent; JSON allows line breaks in front. */
const keepAliveMillis = 1_000;

type Waiting = Pick<HttpDeps, "db" | "ends" | "wakes" | "config">;

/** Resolves when the run has ended or is gone, or when the signal aborts first. */
export async function waitForEnd(deps: Waiting, name: RunName, signal: AbortSignal): Promise<void> {
  for await (const end of untilEnd(deps, name, { signal, isNew: false })) if (end !== "not yet") return;
}

/**
 * How the run has ended, or that it is gone; before that a sign of life now and then. A run that was made a moment ago is
 * looked at after the first sign of life, if nobody has told of it: most have ended by then.
 */
async function* untilEnd(
  { ends, wakes, config }: Waiting,
  name: RunName,
  { signal, isNew }: { signal: AbortSignal; isNew: boolean },
): AsyncGenerator<RunEnd | "gone" | "not yet"> {
  const told = ends.listen(name);
  const wake = wakes.on({ kind: "end", id: name.runId });
  try {
    let looked = false;
    for (let news = !isNew, away = false; !signal.aborted; ) {
      if (news) {
        looked = true;
        const end = told.end ?? (await ends.look(name).catch(orAway));
        if (end === "gone" || (end !== "away" && isTerminal(end.status))) {
          yield end;
          return;
        }
        away = end === "away";
      }
      news = await wake.wait(away ? config.pollMillis : keepAliveMillis, signal);
      if (news || signal.aborted) continue;
      yield "not yet";
      // A new run may have ended before anybody listened.
      news = away || !looked;
    }
  } finally {
    wake.close();
    told.close();
  }
}

function orAway(error: unknown): "away" {
  if (classify(error) instanceof Transient) return "away";
  throw error;
}

interface Answering {
  headers: Record<string, string>;
  onDisconnect?: () => void;
  /** Whether the run was made just now. */
  isNew?: boolean;
}

/** Waits with line breaks, then sends the run's values as JSON. */
export function respondAtEnd(
  deps: Waiting,
  name: RunName,
  { headers, onDisconnect, isNew = false }: Answering,
): Response {
  const body = pulled(
    (signal) => linesThenValues(deps, name, { signal, isNew }),
    onDisconnect === undefined ? {} : { onCancel: onDisconnect },
  );
  return new Response(body, { headers: { "content-type": "application/json", ...headers } });
}

async function* linesThenValues(
  deps: Waiting,
  name: RunName,
  waiting: { signal: AbortSignal; isNew: boolean },
): AsyncGenerator<string> {
  for await (const end of untilEnd(deps, name, waiting)) {
    if (end === "not yet") yield "\n";
    else yield await finalValues(deps, name, end);
  }
}

/** JSON text: the values, with the questions the run stopped at, as the graph's own `invoke` returns them. */
async function finalValues(
  { db }: Waiting,
  { threadId, tenant }: RunName,
  end: RunEnd | "gone",
): Promise<string> {
  if (end === "gone") return failure("Cancelled", "the run was rolled back or deleted");
  if (end.status === "error" || end.status === "timeout") {
    return failure(end.error?.name ?? "Error", end.error?.message ?? "the run failed");
  }
  if (end.status === "interrupted") {
    const thread = one(await getThread(db, { threadId, tenant }));
    return thread?.values ?? "null";
  }
  const output = end.output ?? "null";
  if (end.asked === null) return output;
  const values = JSON.parse(output) as Record<string, unknown> | null;
  return JSON.stringify({ ...values, __interrupt__: JSON.parse(end.asked) as unknown });
}

const failure = (error: string, message: string): string => JSON.stringify({ __error__: { error, message } });
