import { AIMessage, type BaseMessage } from "@langchain/core/messages";
import { END, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";

const words = 60;

/** A turn of a conversation: two nodes, of which the second answers with about 400 bytes. */
export const chat = () =>
  new StateGraph(MessagesAnnotation)
    .addNode("prepare", () => ({}))
    .addNode("answer", ({ messages }: { messages: BaseMessage[] }) => ({
      messages: [new AIMessage(`${messages.length} `.padEnd(words * 7, "answer "))],
    }))
    .addEdge(START, "prepare")
    .addEdge("prepare", "answer")
    .addEdge("answer", END);

export const graph = chat().compile();
