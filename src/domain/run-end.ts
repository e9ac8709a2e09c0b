import type { RunError, RunStatus } from "./run.ts";

export interface RunName {
  runId: string;
  threadId: string;
  tenant: string;
}

/** What those who wait for a run want to know of it. */
export interface RunEnd {
  runId: string;
  status: RunStatus;
  error: RunError | null;
  /** JSON of what it gave; null before it has ended. */
  output: string | null;
  /** JSON of the questions it stopped at; null when there are none. */
  asked: string | null;
}

/** The same with the whole name of its run, as a worker tells it to who waits in its process. */
export type ToldEnd = RunName & RunEnd;
