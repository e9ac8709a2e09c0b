import { adviceFor, isKnownCode } from "../domain/advice.ts";
import { fingerprintOf } from "../domain/fingerprint.ts";
import type { RunError } from "../domain/run.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

interface Dead {
  run_id: string;
  thread_id: string;
  graph_id: string;
  attempt: number;
}

/** Tells of a run that ended dead, whoever ended it. */
export function tellDead({ log, metrics }: { log: Log; metrics: Metrics }, run: Dead, error: RunError): void {
  const { code } = error;
  // An error of graph code has any name: as labels they would have no end.
  metrics.deadLetters.inc({ reason: isKnownCode(code) ? code : "graph_code" });
  const { run_id, thread_id, graph_id: graph, attempt } = run;
  const told = { run_id, thread_id, graph, attempt, code, fingerprint: fingerprintOf(error) };
  log.error({ ...told, advice: adviceFor(code) }, "a run died");
}
