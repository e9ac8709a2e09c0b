import { Annotation, START, StateGraph } from "@langchain/langgraph";

const State = Annotation.Root({ told: Annotation<Record<string, unknown>>() });

/** Shows what its run was told about who asks, without the token. */
export const told = new StateGraph(State)
  .addNode("look", (_state, { configurable = {} }) => {
    const { langgraph_auth_user, langgraph_auth_user_id, langgraph_auth_permissions } = configurable;
    const { token, ...user } = (langgraph_auth_user ?? {}) as Record<string, unknown>;
    const headers = Object.entries(configurable).filter(([name]) => /^(x-|user-agent)/.test(name));
    return {
      told: {
        user,
        id: langgraph_auth_user_id,
        permissions: langgraph_auth_permissions,
        hadToken: token !== undefined,
        headers: Object.fromEntries(headers),
      },
    };
  })
  .addEdge(START, "look")
  .compile();
