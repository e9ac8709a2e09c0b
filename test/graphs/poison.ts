import { setTimeout as sleep } from "node:timers/promises";
import { Annotation, END, START, StateGraph } from "@langchain/langgraph";

const State = Annotation.Root({
  how: Annotation<string>(),
  n: Annotation<number>({ reducer: (_, b) => b, default: () => 0 }),
});

const forEver = new Promise<never>(() => undefined);
const hold = setInterval(() => undefined, 60_000);
hold.unref();

function deeper(n: number): number {
  return n + deeper(n + 1);
}

function spinsInTheGraph(): never {
  for (;;);
}

/** What a graph can do to the process it runs in. Each way ends its own run and no other. */
const ways: Record<string, () => unknown> = {
  throws: () => {
    throw new Error("always wrong");
  },
  abort: () => process.abort(),
  segfault: () => process.kill(process.pid, "SIGSEGV") && forEver,
  stack: () => deeper(0),
  heap: () => {
    const kept: unknown[] = [];
    for (;;) kept.push(new Array(100_000).fill(kept.length));
  },
  blocks: spinsInTheGraph,
  exits: () => process.exit(0),
  "exits unseen": () =>
    // A microtask of a native queue has no asynchronous context: the call cannot be traced to the run.
    (process as unknown as { reallyExit(code: number): never }).reallyExit(0),
  rejects: () => {
    void Promise.reject(new Error("nobody looks at me"));
    return {};
  },
  "looks late": async () => {
    const rejected = Promise.reject(new Error("looked at in time"));
    await sleep(20);
    return rejected.catch(() => ({}));
  },
  "throws later": () => {
    setTimeout(() => {
      throw new Error("thrown out of a timer");
    }, 10);
    return sleep(1_000, {});
  },
  "never returns": () => forEver,
};

export const poison = new StateGraph(State)
  .addNode("begin", () => ({}))
  .addNode("poison", ({ how }) => (ways[how] as () => never)())
  .addEdge(START, "begin")
  .addEdge("begin", "poison")
  .addEdge("poison", END)
  .compile();

/** Goes round for ever, a step at a time. */
export const endless = new StateGraph(State)
  .addNode("again", async ({ n }) => sleep(5, { n: n + 1 }))
  .addEdge(START, "again")
  .addEdge("again", "again")
  .compile();
