import type { StreamEvent } from "@langchain/core/tracers/log_stream";
import type { Chunk } from "./chunk.ts";
import type { Graph } from "./registry.ts";

export interface ChunkSink {
  accept(chunk: Chunk): void;
  event(event: StreamEvent): void;
}

interface Reading {
  graph: Graph;
  input: unknown;
  options: Record<string, unknown>;
  sink: ChunkSink;
  /** Whether LangChain's own events were asked for. */
  withEvents: boolean;
}

/** A graph as it is read here: its own types tell what it yields by the modes, which only the caller's request knows. */
interface Readable {
  stream(input: unknown, options: unknown): Promise<AsyncIterable<Chunk>>;
  streamEvents(input: unknown, options: unknown): AsyncIterable<StreamEvent>;
}

/** Reads a graph to its end. */
export async function readGraph({ graph, input, options, sink, withEvents }: Reading): Promise<void> {
  const readable = graph as unknown as Readable;
  if (withEvents) {
    const events = chunksAside(readable, sink).streamEvents(input, { ...options, version: "v2" });
    for await (const event of events) sink.event(event);
  } else {
    for await (const chunk of await readable.stream(input, options)) sink.accept(chunk);
  }
}

/**
 * LangChain reads the graph by its `stream` and passes each chunk on among its events, a few turns later. The chunks go to
 * the sink at once instead, because those of a step have to be there when its checkpoint is stored.
 */
function chunksAside(graph: Readable, sink: ChunkSink): Readable {
  const stream: Readable["stream"] = async (input, options) => {
    const chunks = await graph.stream(input, options);
    const next = async (): Promise<IteratorReturnResult<undefined>> => {
      for await (const chunk of chunks) sink.accept(chunk);
      return { done: true, value: undefined };
    };
    return { next, [Symbol.asyncIterator]: () => ({ next }) } as AsyncIterable<Chunk>;
  };
  return Object.assign(Object.create(graph), { stream }) as Readable;
}
