import { Annotation, END, type LangGraphRunnableConfig, START, StateGraph } from "@langchain/langgraph";

const eventBytes = 20_000;

/** Sends so many megabytes in custom events. */
export const graph = new StateGraph(Annotation.Root({ megabytes: Annotation<number>() }))
  .addNode("talk", async ({ megabytes }, { writer }: LangGraphRunnableConfig) => {
    const eventsTotal = (megabytes * 1_000_000) / eventBytes;
    for (let n = 0; n < eventsTotal; n += 1) {
      writer?.(`${n % 10}`.repeat(eventBytes));
      if (n % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return {};
  })
  .addEdge(START, "talk")
  .addEdge("talk", END)
  .compile();
