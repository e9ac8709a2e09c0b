import { Annotation, END, type LangGraphRunnableConfig, START, StateGraph } from "@langchain/langgraph";

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

/** A line among the log lines of its process. */
const say = (msg: string, of: Record<string, unknown>): boolean =>
  process.stdout.write(`${JSON.stringify({ ...of, msg, at: Date.now() })}\n`);

/** Works until it is told to stop, says both, and lets promises fall that are rejected by the stop. */
export const cancellable = new StateGraph(State)
  .addNode("work", async (_state, { signal, metadata }: LangGraphRunnableConfig) => {
    const run_id = metadata?.run_id;
    say("works", { run_id });
    await new Promise((_, reject) => {
      signal?.addEventListener("abort", () => {
        say("aborted", { run_id });
        void Promise.reject(new Error("left behind by a graph that was stopped"));
        reject(signal.reason);
      });
    });
    return { log: ["never"] };
  })
  .addEdge(START, "work")
  .addEdge("work", END)
  .compile();
