import { setTimeout as sleep } from "node:timers/promises";
import { AIMessage, type BaseMessage } from "@langchain/core/messages";
import { Annotation, END, interrupt, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";

const State = Annotation.Root({
  seen: Annotation<string[]>({ reducer: (a, b) => a.concat(b), default: () => [] }),
  answer: Annotation<unknown>(),
});

export const steps = new StateGraph(State)
  .addNode("one", () => ({ seen: ["one"] }))
  .addNode("two", () => ({ seen: ["two"] }))
  .addEdge(START, "one")
  .addEdge("one", "two")
  .addEdge("two", END)
  .compile();

const twoQuestions = () => {
  const first = interrupt("first?");
  const second = interrupt("second?");
  return { seen: ["asked"], answer: [first, second] };
};

export const asks = new StateGraph(State)
  .addNode("before", () => ({ seen: ["before"] }))
  .addNode("ask", twoQuestions)
  .addEdge(START, "before")
  .addEdge("before", "ask")
  .addEdge("ask", END)
  .compile();

const child = new StateGraph(State)
  .addNode("inner", () => ({ answer: interrupt({ question: "inside?" }) }))
  .addEdge(START, "inner")
  .addEdge("inner", END)
  .compile();

export const nested = new StateGraph(State)
  .addNode("outer", child)
  .addEdge(START, "outer")
  .addEdge("outer", END)
  .compile();

export const inbox = new StateGraph(State)
  .addNode("review", () => {
    const answer = interrupt([
      {
        action_request: { action: "send", args: { to: "a@example.org" } },
        config: { allow_accept: true, allow_edit: true, allow_respond: false, allow_ignore: true },
        description: "Send it?",
      },
    ]);
    return { answer };
  })
  .addEdge(START, "review")
  .addEdge("review", END)
  .compile();

const textOf = (message: BaseMessage | undefined): string => String(message?.content);

export const chat = new StateGraph(MessagesAnnotation)
  .addNode("reply", ({ messages }) => ({ messages: [new AIMessage(`you said ${textOf(messages.at(-1))}`)] }))
  .addEdge(START, "reply")
  .addEdge("reply", END)
  .compile();

export const fails = new StateGraph(State)
  .addNode("boom", () => {
    throw new TypeError("Boo!");
  })
  .addEdge(START, "boom")
  .addEdge("boom", END)
  .compile();

/** Runs until it is aborted. */
export const slow = new StateGraph(State)
  .addNode("wait", async (_state, config) => {
    await sleep(60_000, undefined, config.signal === undefined ? {} : { signal: config.signal });
    return { seen: ["waited"] };
  })
  .addEdge(START, "wait")
  .addEdge("wait", END)
  .compile();
