import { Annotation, START, StateGraph } from "@langchain/langgraph";
import { Client } from "@langchain/langgraph-sdk";
import { getLogger } from "@langchain/langgraph-sdk/logging";

// A program may take it while its modules are loaded.
const logger = getLogger();

const State = Annotation.Root({ threads: Annotation<number>() });

/** Asks the server that runs it, as its own user, how many threads there are. */
export const counts = new StateGraph(State)
  .addNode("count", async (_state, { configurable }) => {
    const user = String(configurable?.langgraph_auth_user_id);
    logger.info("counting", { user });
    const client = new Client({ defaultHeaders: { authorization: `Bearer ${user}` } });
    return { threads: (await client.threads.search()).length };
  })
  .addEdge(START, "count")
  .compile();
