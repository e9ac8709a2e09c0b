// A run that was started by the newer streaming protocol is read by LangGraph's own v3 events. Their data are stored as
// rows under the names that the legacy stream has (`values|namespace`), so that either reader can show them.
import {
  createGraphRunStream,
  isGraphDrained,
  type ProtocolEvent,
  STREAM_EVENTS_V3_MODES,
} from "@langchain/langgraph";
import type { PendingEvent, RunEvents } from "../domain/event.ts";
import { questionId } from "../queue/question.ts";
import { protocolState } from "./protocol-state.ts";
import type { Graph } from "./registry.ts";
import type { GraphStream, StepTold } from "./stream.ts";
import type { Parked } from "./view.ts";
import { toPlain, toWire } from "./wire.ts";

interface Sink extends StepTold {
  events: RunEvents;
  threadId: string;
  graphId: string;
}

const ownChannel = "custom:";

type Fields = Record<string, unknown>;
const fieldsOf = (value: unknown): Fields =>
  typeof value === "object" && value !== null ? { ...value } : {};

/** Turns LangGraph's protocol events into rows, and says for each when it may be seen. */
export class ProtocolTranslator implements GraphStream {
  readonly #sink: Sink;
  /** Of tasks that ask: shown only with the outcome that stores their questions. */
  readonly #asking: { ns: string; task: Fields }[] = [];
  /** Subgraphs that wait for an answer. */
  readonly #waiting: PendingEvent[] = [];
  /** What was still running when the graph threw: it has failed only if the run has. */
  readonly #failed: { ns: string; data: unknown }[] = [];
  #step: number | null = null;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  async read(graph: Graph, input: unknown, options: Fields): Promise<void> {
    // What `graph.streamEvents(…, { version: "v3" })` does; that is a private method, which a run's copy of a graph lacks.
    const modes = { version: "v3", streamMode: STREAM_EVENTS_V3_MODES, subgraphs: true };
    const stream: unknown = await graph.stream(input as never, { ...options, ...modes } as never);
    const chunks = stream as Parameters<typeof createGraphRunStream>[0];
    try {
      const { streamTransformers = [] } = graph;
      for await (const event of createGraphRunStream(chunks, [...streamTransformers])) this.#accept(event);
    } catch (error) {
      // A run that stops at a step boundary goes on elsewhere; one that is tried again drops what is held.
      const failed = isGraphDrained(error) ? [] : this.#failed;
      for (const { ns, data } of failed) this.#sink.events.held(ns, this.#event("lifecycle", ns, data));
      throw error;
    }
  }

  ending({ questions }: Pick<Parked, "questions">): PendingEvent[] {
    const { threadId, graphId } = this.#sink;
    const ids = new Map<string, string>();
    const asked = questions.map(({ taskId, ordinal, interruptId, checkpointNs, payload }) => {
      const id = questionId({ threadId, taskId, ordinal });
      if (interruptId !== null) ids.set(interruptId, id);
      return this.#event("input.requested", checkpointNs, { interrupt_id: id, payload });
    });
    const tasks = this.#asking.map(({ ns, task }) => this.#event("tasks", ns, withOurIds(task, ids)));
    const data = { event: questions.length > 0 ? "interrupted" : "completed", graph_name: graphId };
    return [...asked, ...tasks, ...this.#waiting, this.#event("lifecycle", "", data)];
  }

  #accept({ method, params: { namespace, data } }: ProtocolEvent): void {
    const { events } = this.#sink;
    const ns = namespace.join("|");
    if (method === "values") this.#values(ns, data);
    else if (method === "updates") this.#update(ns, fieldsOf(data));
    else if (method === "tasks") this.#task(ns, fieldsOf(data));
    else if (method === "lifecycle") this.#lifecycle(namespace, fieldsOf(data));
    else if (method.startsWith(ownChannel)) {
      // A stream channel of the graph's own: the protocol carries it as a custom event with a name.
      events.ready(this.#event("custom", ns, { name: method.slice(ownChannel.length), payload: data }));
    } else events.ready(this.#event(method, ns, data));
  }

  /** Values are emitted after their checkpoint is committed, so they may be seen at once. */
  #values(ns: string, data: unknown): void {
    const shown = protocolState(toPlain(data));
    if (Object.keys(fieldsOf(shown)).length === 0) return;
    this.#step = (this.#step ?? -1) + 1;
    this.#sink.events.ready(this.#event("values", ns, shown));
  }

  #update(ns: string, { node, values }: Fields): void {
    if (typeof node !== "string" || node === "__interrupt__") return;
    if (ns === "") this.#sink.onStep([node]);
    this.#sink.events.held(ns, this.#event("updates", ns, { [node]: protocolState(toPlain(values)) }));
  }

  #task(ns: string, { state: _state, ...task }: Fields): void {
    const asks = Array.isArray(task.interrupts) && task.interrupts.length > 0;
    if (asks) this.#asking.push({ ns, task });
    else if ("result" in task || "error" in task) this.#sink.events.held(ns, this.#event("tasks", ns, task));
    else this.#sink.events.ready(this.#event("tasks", ns, task));
  }

  /** Of subgraphs: the run's own beginning and end are told by its rows. */
  #lifecycle(namespace: readonly string[], data: Fields): void {
    if (namespace.length === 0) return;
    const ns = namespace.join("|");
    const { events } = this.#sink;
    if (data.event === "failed") this.#failed.push({ ns, data });
    else if (data.event !== "completed") events.ready(this.#event("lifecycle", ns, data));
    else {
      const parent = namespace.slice(0, -1).join("|");
      const event = this.#event(
        "lifecycle",
        ns,
        this.#asksBelow(ns) ? { ...data, event: "interrupted" } : data,
      );
      // It must not be seen before the result of its task.
      if (events.waits(parent)) events.held(parent, event);
      else events.ready(event);
    }
  }

  #asksBelow(ns: string): boolean {
    return this.#asking.some((asking) => asking.ns === ns || asking.ns.startsWith(`${ns}|`));
  }

  #event(method: string, ns: string, data: unknown): PendingEvent {
    return { event: ns === "" ? method : `${method}|${ns}`, data: toWire(data), step: this.#step };
  }
}

/** LangGraph's interrupt ids are the same for every question of a node; clients get the questions' own. */
function withOurIds(task: Fields, ids: ReadonlyMap<string, string>): Fields {
  const interrupts = (task.interrupts as { id?: string }[]).map((interrupt) => ({
    ...interrupt,
    ...(interrupt.id === undefined ? {} : { id: ids.get(interrupt.id) ?? interrupt.id }),
  }));
  return { ...task, interrupts };
}
