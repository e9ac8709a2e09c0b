import type { CancelAction, RunError } from "./run.ts";

/** A question that a run stopped at, as found in the thread's state. */
export interface Question {
  taskId: string;
  /** Which question of this task, counted from 0: the interrupt id is the same for all of them. */
  ordinal: number;
  interruptId: string | null;
  node: string;
  checkpointNs: string;
  checkpointId: string;
  /** The value given to `interrupt()`, in wire form. */
  payload: unknown;
}

/** What the thread looks like after an attempt, in wire form, as shown by `GET /threads/:id`. */
export interface ThreadView {
  values: unknown;
  /** The values as JSON text, where somebody has made it already. */
  valuesText?: string;
  interrupts: Record<string, { id?: string; value: unknown }[]>;
  /** True when nodes are left to run: a question or a breakpoint. */
  parked: boolean;
}

/** What the thread shows, as JSON text. */
export const valuesTextOf = (view: ThreadView): string => view.valuesText ?? JSON.stringify(view.values);

/** Error code of a resume whose question the graph of today does not ask. */
export const graphVersionMismatch = "graph_version_mismatch";

/** How an attempt ended. Deciding it is pure; `settle` applies it. */
export type Outcome =
  | { kind: "success"; view: ThreadView; questions: Question[]; graphVersion: string }
  | { kind: "retry"; delayMs: number; error: RunError; charged: boolean }
  | { kind: "dead"; status: "error" | "timeout"; error: RunError; view?: ThreadView }
  | { kind: "cancelled"; action: CancelAction; view?: ThreadView }
  | { kind: "released" }
  /** Of a compensation: every effect is undone, or a human said what becomes of it. */
  | { kind: "compensated" };
