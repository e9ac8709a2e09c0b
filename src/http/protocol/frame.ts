import type { TapeRun } from "../../db/queries/protocol.ts";
import { idOf, type Position, seqOf } from "../../domain/position.ts";
import { protocolState } from "../../engine/protocol-state.ts";

/** An event of the newer streaming protocol. */
export interface Frame {
  at: Position;
  method: string;
  namespace: string[];
  /** Of a named custom event. */
  name: string | undefined;
  /** The event as JSON text. */
  text: string;
}

export interface StoredEvent {
  seq: number;
  event: string;
  data: string;
  createdAt: Date;
}

interface Told {
  at: Position;
  when: Date;
  method: string;
  namespace?: string[];
  node?: string;
  name?: string;
  /** JSON text. */
  data: string;
}

export function frameOf({ at, when, method, namespace = [], node, name, data }: Told): Frame {
  const head = JSON.stringify({ type: "event", event_id: idOf(at), seq: seqOf(at), method });
  const params = JSON.stringify({
    namespace,
    timestamp: when.getTime(),
    ...(node === undefined ? {} : { node }),
  });
  // What is stored is sent as it is: a client that reads a long thread costs no parsing.
  const text = `${head.slice(0, -1)},"params":${params.slice(0, -1)},"data":${data}}}`;
  return { at, method, namespace, name, text };
}

type RootEvent = "running" | "completed" | "failed" | "interrupted";

/** How the run itself stands. */
export function lifecycleFrame(
  { graphId }: TapeRun,
  { at, when, event, error }: { at: Position; when: Date; event: RootEvent; error?: string | undefined },
): Frame {
  const data = { event, graph_name: graphId, ...(error === undefined ? {} : { error }) };
  return frameOf({ at, when, method: "lifecycle", data: JSON.stringify(data) });
}

/** The frame of a stored event; undefined where the protocol has none. */
export function storedFrame(run: TapeRun, epoch: number, stored: StoredEvent): Frame | undefined {
  const told = { at: { epoch, n: stored.seq }, when: stored.createdAt };
  if (stored.event === "metadata") return lifecycleFrame(run, { ...told, event: "running" });
  if (stored.event === "error")
    return lifecycleFrame(run, { ...told, event: "failed", error: messageOf(stored.data) });
  const [method = "", ...namespace] = stored.event.split("|");
  const event = { ...told, method, namespace };
  return run.protocol ? ofProtocolRun(event, stored.data) : ofOtherRun(event, stored.data);
}

type Event = Pick<Told, "at" | "when" | "method"> & { namespace: string[] };

function ofProtocolRun(event: Event, data: string): Frame {
  if (event.method === "custom") return frameOf({ ...event, ...nameIn(data), data });
  if (event.method === "updates") return frameOf({ ...event, ...update(data) });
  return frameOf({ ...event, data });
}

/** A run that was started otherwise stored what its caller asked for: of that, what the protocol has too. */
function ofOtherRun(event: Event, data: string): Frame | undefined {
  const value: unknown = JSON.parse(data);
  if (event.method === "custom") {
    const shown = JSON.stringify(isNamed(value) ? value : { payload: value });
    return frameOf({ ...event, ...nameIn(shown), data: shown });
  }
  if (event.method !== "values" && event.method !== "updates") return undefined;
  const shown = protocolState(value);
  const keys = Object.keys(Object(shown));
  if (event.method === "values")
    return keys.length === 0 ? undefined : frameOf({ ...event, data: JSON.stringify(shown) });
  return keys.length === 1 ? frameOf({ ...event, ...update(JSON.stringify(shown)) }) : undefined;
}

const isNamed = (value: unknown): value is { name: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value) && "name" in value;

function nameIn(data: string): { name?: string } {
  const value: unknown = JSON.parse(data);
  return isNamed(value) && value.name !== null && value.name !== undefined
    ? { name: String(value.name) }
    : {};
}

/** `{"node":values}` taken apart: the node goes into the event, its values stay text. */
function update(data: string): { node: string; data: string } {
  const [, node = '""', values = "null"] = /^\{("(?:[^"\\]|\\.)*"):(.*)\}$/s.exec(data) ?? [];
  return { node: JSON.parse(node) as string, data: values === "null" ? "{}" : values };
}

function messageOf(data: string): string {
  const { message } = JSON.parse(data) as { message?: unknown };
  return String(message ?? "");
}
