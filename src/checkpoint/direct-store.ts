import { AsyncBatchedStore, type BaseStore, type Operation } from "@langchain/langgraph-checkpoint";
import { RunStore } from "./store.ts";

/** The parts of LangGraph's wrapper that its types keep to themselves. */
interface Queue {
  store: BaseStore;
  running: boolean;
  start(): void;
  stop(): Promise<void>;
  enqueueOperation(operation: Operation): Promise<unknown>;
}

let done = false;

/**
 * LangGraph puts a queue before every store and looks into it each millisecond while a graph runs, and each graph within
 * it: a twentieth of a core. At the end it waits for that look, and errors of sibling tasks stay unhandled meanwhile,
 * which ends processes. From now on it asks a RunStore directly; other stores keep their queue.
 */
export function askRunStoresDirectly(): void {
  if (done) return;
  done = true;
  const queue = AsyncBatchedStore.prototype as unknown as Queue;
  const { start, stop, enqueueOperation } = queue;
  queue.start = function (this: Queue): void {
    if (this.store instanceof RunStore) this.running = true;
    else start.call(this);
  };
  queue.stop = async function (this: Queue): Promise<void> {
    if (this.store instanceof RunStore) this.running = false;
    else await stop.call(this);
  };
  queue.enqueueOperation = function (this: Queue, operation: Operation): Promise<unknown> {
    return this.store instanceof RunStore
      ? this.store.inOrder(operation)
      : enqueueOperation.call(this, operation);
  };
}
