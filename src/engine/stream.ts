import { BaseMessage, type BaseMessageChunk } from "@langchain/core/messages";
import { concat } from "@langchain/core/utils/stream";
import type { PendingEvent, RunEvents } from "../domain/event.ts";
import type { Graph } from "./registry.ts";
import type { Parked } from "./view.ts";
import { toWire } from "./wire.ts";

/** Modes that LangGraph streams itself; `messages-tuple` is our clients' name for its `messages`. */
const nativeModes = [
  "values",
  "updates",
  "messages",
  "custom",
  "tasks",
  "checkpoints",
  "debug",
  "tools",
] as const;
type NativeMode = (typeof nativeModes)[number];

export interface StreamRequest {
  /** What the caller asked for. */
  modes: readonly string[];
  subgraphs: boolean;
}

/** The modes to ask LangGraph for. `messages` needs the values too, to say which messages are complete. */
function langGraphModes(modes: readonly string[]): NativeMode[] {
  const wanted = new Set<NativeMode>(["values", "updates"]);
  for (const mode of modes) {
    if (mode === "messages-tuple") wanted.add("messages");
    else if ((nativeModes as readonly string[]).includes(mode)) wanted.add(mode as NativeMode);
  }
  return [...wanted];
}

export interface StepTold {
  /** Root steps as they finish: node names, for logs and metrics. */
  onStep: (nodes: string[]) => void;
}

/** How an attempt reads its graph, and makes events of what it reads. */
export interface GraphStream {
  /** Runs the graph to its end. Throws what the graph throws. */
  read(graph: Graph, input: unknown, options: Record<string, unknown>): Promise<void>;
  /** What may be seen only with the outcome: the questions, under our ids. */
  ending(parked: Parked): PendingEvent[];
}

interface Sink extends StepTold {
  request: StreamRequest;
  events: RunEvents;
}

/** Turns LangGraph's chunks into events, and says for each when it may be seen. */
export class ChunkTranslator implements GraphStream {
  readonly #sink: Sink;
  readonly #messages = new Map<string, BaseMessageChunk | BaseMessage>();
  readonly #completed = new Set<string>();
  /** Shown only with the outcome that stores them. */
  readonly #questions: PendingEvent[] = [];
  #step: number | null = null;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  async read(graph: Graph, input: unknown, options: Record<string, unknown>): Promise<void> {
    const streamMode = langGraphModes(this.#sink.request.modes);
    const stream = await graph.stream(input as never, { ...options, streamMode, subgraphs: true });
    for await (const chunk of stream) this.#accept(chunk as [string[], NativeMode, unknown]);
  }

  /** LangGraph's interrupt ids are the same for every question of a node; clients get the questions' own. */
  ending(parked: Parked): PendingEvent[] {
    const ids = new Map<string, string>();
    for (const { interruptId, taskId } of parked.questions) {
      const shown = parked.view.interrupts[taskId]?.at(-1)?.id;
      if (interruptId !== null && shown !== undefined) ids.set(interruptId, shown);
    }
    return this.#questions.map((event) => {
      const payload = JSON.parse(event.data) as { __interrupt__: { id?: string }[] };
      const list = payload.__interrupt__.map((item) =>
        item.id === undefined ? item : { ...item, id: ids.get(item.id) ?? item.id },
      );
      return { ...event, data: JSON.stringify({ ...payload, __interrupt__: list }) };
    });
  }

  #accept([namespace, mode, payload]: [string[], NativeMode, unknown]): void {
    const { modes, subgraphs } = this.#sink.request;
    const ns = namespace.join("|");
    if (mode === "updates" && ns === "" && !isInterrupt(payload))
      this.#sink.onStep(Object.keys(payload as object));
    if (ns !== "" && !subgraphs && mode !== "messages" && mode !== "custom") return;
    if (isInterrupt(payload) && (mode === "updates" || mode === "values")) this.#question(mode, ns, payload);
    else if (mode === "values") this.#values(ns, payload);
    else if (mode === "messages") this.#message(payload as [BaseMessage, Record<string, unknown>], ns);
    else if (modes.includes(mode)) this.#other(mode, ns, payload);
  }

  #other(mode: NativeMode, ns: string, payload: unknown): void {
    const { subgraphs } = this.#sink.request;
    const event = { event: named(mode, subgraphs ? ns : ""), data: toWire(payload), step: this.#step };
    if (mode === "custom" || mode === "tools") this.#sink.events.ready(event);
    else this.#sink.events.held(ns, event);
  }

  /** Values are emitted after their checkpoint is committed, so they may be seen at once. */
  #values(ns: string, payload: unknown): void {
    const { request, events } = this.#sink;
    this.#step = (this.#step ?? -1) + 1;
    if (request.modes.includes("values")) {
      events.ready({ event: named("values", ns), data: toWire(payload), step: this.#step });
    }
    if (!request.modes.includes("messages")) return;
    for (const message of messagesOf(payload)) {
      if (message.id === undefined || this.#completed.has(message.id)) continue;
      this.#completed.add(message.id);
      this.#messages.delete(message.id);
      events.ready({ event: named("messages/complete", ns), data: toWire([message]), step: this.#step });
    }
  }

  #message([message, metadata]: [BaseMessage, Record<string, unknown>], ns: string): void {
    const { request, events } = this.#sink;
    const suffix = request.subgraphs ? ns : "";
    const step = this.#step;
    if (request.modes.includes("messages-tuple")) {
      events.ready({ event: named("messages", suffix), data: toWire([message, metadata]), step });
    }
    if (!request.modes.includes("messages") || message.id === undefined || this.#completed.has(message.id))
      return;
    const before = this.#messages.get(message.id);
    if (before === undefined) {
      const told = toWire({ [message.id]: { metadata } });
      events.ready({ event: named("messages/metadata", suffix), data: told, step });
    }
    const grown =
      before === undefined ? message : concat(before as BaseMessageChunk, message as BaseMessageChunk);
    this.#messages.set(message.id, grown);
    events.ready({ event: named("messages/partial", suffix), data: toWire([grown]), step });
  }

  #question(mode: "updates" | "values", ns: string, payload: unknown): void {
    const { modes, subgraphs } = this.#sink.request;
    // A client that asked for anything but updates still learns of the question from the values.
    if (!modes.includes(mode)) return;
    this.#questions.push({
      event: named(mode, subgraphs ? ns : ""),
      data: toWire(payload),
      step: this.#step,
    });
  }
}

const named = (mode: string, ns: string): string => (ns === "" ? mode : `${mode}|${ns}`);

function isInterrupt(payload: unknown): boolean {
  return typeof payload === "object" && payload !== null && "__interrupt__" in payload;
}

function messagesOf(payload: unknown): BaseMessage[] {
  const { messages } = (payload ?? {}) as { messages?: unknown };
  if (!Array.isArray(messages)) return [];
  return messages.filter((message): message is BaseMessage => BaseMessage.isInstance(message));
}
