import {
  type AIMessageChunk,
  BaseMessage,
  type BaseMessageChunk,
  isAIMessageChunk,
} from "@langchain/core/messages";
import type { StreamEvent } from "@langchain/core/tracers/log_stream";
import { concat } from "@langchain/core/utils/stream";
import type { PendingEvent, RunEvents } from "../domain/event.ts";
import { type Chunk, type NativeMode, nativeModes } from "./chunk.ts";
import { isTaskStart, presentChunk } from "./debug-event.ts";
import { readGraph } from "./read.ts";
import type { Graph } from "./registry.ts";
import type { Parked, Shown } from "./view.ts";
import { toWire } from "./wire.ts";

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
  /** The root's values as they were shown last. */
  readonly shown?: Shown | undefined;
}

interface Sink extends StepTold {
  request: StreamRequest;
  events: RunEvents;
}

/** Turns LangGraph's chunks into events, and says for each when it may be seen. */
export class ChunkTranslator implements GraphStream {
  readonly #sink: Sink;
  readonly #messages = new Map<string, AIMessageChunk>();
  readonly #completed = new Set<string>();
  /** Shown only with the outcome that stores them. */
  readonly #questions: PendingEvent[] = [];
  #step: number | null = null;
  #shown: Shown | undefined;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  get shown(): Shown | undefined {
    return this.#shown;
  }

  read(graph: Graph, input: unknown, options: Record<string, unknown>): Promise<void> {
    const { modes } = this.#sink.request;
    const streaming = { ...options, streamMode: langGraphModes(modes), subgraphs: true };
    return readGraph({ graph, input, options: streaming, sink: this, withEvents: modes.includes("events") });
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

  accept([namespace, mode, payload]: Chunk): void {
    const { modes, subgraphs } = this.#sink.request;
    const ns = namespace.join("|");
    if (mode === "updates" && ns === "" && !isInterrupt(payload))
      this.#sink.onStep(Object.keys(payload as object));
    if (ns !== "" && !subgraphs && !everywhere.has(mode)) return;
    if (isInterrupt(payload) && (mode === "updates" || mode === "values")) this.#question(mode, ns, payload);
    else if (mode === "values") this.#values(ns, payload);
    else if (mode === "messages") this.#message(payload as [BaseMessage, Record<string, unknown>], ns);
    else if (modes.includes(mode)) this.#other(mode, ns, payload);
  }

  #other(mode: NativeMode, ns: string, payload: unknown): void {
    const { request, events } = this.#sink;
    const shown = presentChunk(mode, payload);
    if (shown === undefined) return;
    const event = { event: named(mode, request.subgraphs ? ns : ""), data: toWire(shown), step: this.#step };
    if (mode === "custom" || mode === "tools") events.ready(event);
    else if (isTaskStart(mode, payload)) events.follow(ns, event);
    else events.held(ns, event);
  }

  /** One of LangChain's events about something that runs inside the graph. */
  event(event: StreamEvent): void {
    if (event.tags?.includes("langsmith:hidden")) return;
    const piece: unknown = event.data.chunk;
    // LangChain names a piece right after it has told of it.
    if (BaseMessage.isInstance(piece) && piece.id === undefined) piece._updateId(`run-${event.run_id}`);
    this.#sink.events.ready({ event: "events", data: toWire(event), step: this.#step });
  }

  /** Values may be seen at once, behind the updates that made them. */
  #values(ns: string, payload: unknown): void {
    const { request, events } = this.#sink;
    this.#step = (this.#step ?? -1) + 1;
    if (request.modes.includes("values")) {
      const text = toWire(payload);
      if (ns === "") this.#shown = { values: payload, text };
      events.follow(ns, { event: named("values", ns), data: text, step: this.#step });
    }
    if (!request.modes.includes("messages")) return;
    const complete = messagesOf(payload).filter(({ id }) => id !== undefined && !this.#completed.has(id));
    for (const { id = "" } of complete) {
      this.#completed.add(id);
      this.#messages.delete(id);
    }
    if (complete.length === 0) return;
    events.follow(ns, { event: named("messages/complete", ns), data: toWire(complete), step: this.#step });
  }

  #message([message, metadata]: [BaseMessage, Record<string, unknown>], ns: string): void {
    const { request, events } = this.#sink;
    const suffix = request.subgraphs ? ns : "";
    const step = this.#step;
    if (request.modes.includes("messages-tuple")) {
      events.ready({ event: named("messages", suffix), data: toWire([message, metadata]), step });
    }
    // What is not a piece of a model's answer comes whole, with the values.
    if (!request.modes.includes("messages") || !isAIMessageChunk(message as BaseMessageChunk)) return;
    const piece = message as AIMessageChunk;
    if (piece.id === undefined || this.#completed.has(piece.id)) return;
    const before = this.#messages.get(piece.id);
    if (before === undefined) {
      const told = toWire({ [piece.id]: { metadata } });
      events.ready({ event: named("messages/metadata", suffix), data: told, step });
    }
    const grown = before === undefined ? piece : concat(before, piece);
    this.#messages.set(piece.id, grown);
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

/** What nodes of a subgraph say is told to all, like what they say in the graph itself. */
const everywhere = new Set<NativeMode>(["messages", "custom", "tools"]);

const named = (mode: string, ns: string): string => (ns === "" ? mode : `${mode}|${ns}`);

function isInterrupt(payload: unknown): boolean {
  return typeof payload === "object" && payload !== null && "__interrupt__" in payload;
}

function messagesOf(payload: unknown): BaseMessage[] {
  const { messages } = (payload ?? {}) as { messages?: unknown };
  if (!Array.isArray(messages)) return [];
  return messages.filter((message): message is BaseMessage => BaseMessage.isInstance(message));
}
