import { AIMessage } from "@langchain/core/messages";
import {
  Annotation,
  type LangGraphRunnableConfig,
  MessagesAnnotation,
  START,
  StateGraph,
} from "@langchain/langgraph";
import { type RemoveUIMessage, type UIMessage, uiMessageReducer } from "@langchain/langgraph-sdk/react-ui";
import { typedUi } from "@langchain/langgraph-sdk/react-ui/server";

const State = Annotation.Root({
  ...MessagesAnnotation.spec,
  ui: Annotation<UIMessage[], UIMessage | RemoveUIMessage | (UIMessage | RemoveUIMessage)[]>({
    default: () => [],
    reducer: uiMessageReducer,
  }),
});

/** Shows a component beside its answer, adds to it, and takes another one away. */
export const weather = new StateGraph(State)
  .addNode("forecast", (_state, config: LangGraphRunnableConfig) => {
    const ui = typedUi(config);
    const message = new AIMessage({ id: "answer", content: "Take an umbrella." });
    ui.push({ id: "card", name: "weather", props: { city: "Oslo" } }, { message });
    ui.push({ id: "card", name: "weather", props: { hours: 3 } }, { message, merge: true });
    ui.push({ id: "passing", name: "weather", props: {} });
    ui.delete("passing");
    return { messages: [message] };
  })
  .addEdge(START, "forecast")
  .compile();
