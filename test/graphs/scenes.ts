import { Annotation, END, interrupt, Send, START, StateGraph } from "@langchain/langgraph";
import { defineEffect, effect, Fatal } from "holdfast";
import { send } from "./sink.ts";

const State = Annotation.Root({
  sink: Annotation<string>(),
  about: Annotation<string>(),
  receipts: Annotation<unknown[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});
type S = typeof State.State;

const once = async ({ sink, about }: S, tool: string): Promise<Partial<S>> => {
  const declaration = { name: tool, class: "idempotent", args: { about } } as const;
  return { receipts: [await effect(declaration, (key) => send({ sink, tool, about }, key))] };
};

/** Calls beside each other: one needs no leave, two ask for it. */
export const approvals = new StateGraph(State)
  .addNode("plan", () => ({}))
  .addNode("free", (state) => once(state, "free"))
  .addNode("ask", async (state: S & { tool: string }) => {
    const leave = interrupt({ may: state.tool }) as string;
    return leave === "yes" ? once(state, state.tool) : {};
  })
  .addNode("report", (state) => once(state, "report"))
  .addEdge(START, "plan")
  .addConditionalEdges(
    "plan",
    (state) => ["free", ...["granted", "denied"].map((tool) => new Send("ask", { ...state, tool }))],
    ["free", "ask"],
  )
  .addEdge("free", "report")
  .addEdge("ask", "report")
  .addEdge("report", END)
  .compile();

/** Declared when the module is loaded, so that another process can undo it. */
const undoable = (tool: string) => {
  const call = defineEffect({
    name: tool,
    class: "compensatable",
    keyLifetimeSeconds: 86_400,
    run: ({ sink, about }: { sink: string; about: string }, { key }) => send({ sink, tool, about }, key),
    compensate: ({ args: { sink, about } }, key) => send({ sink, tool: `undo-${tool}`, about }, key),
  });
  return async ({ sink, about }: S): Promise<Partial<S>> => ({ receipts: [await call({ sink, about })] });
};

/** Three calls that can be undone, then a failure: all three are undone, the last one first. */
export const saga = new StateGraph(State)
  .addNode("flight", undoable("flight"))
  .addNode("hotel", undoable("hotel"))
  .addNode("car", undoable("car"))
  .addNode("fail", () => {
    throw new Fatal("no seats left", { code: "no_seats" });
  })
  .addEdge(START, "flight")
  .addEdge("flight", "hotel")
  .addEdge("hotel", "car")
  .addEdge("car", "fail")
  .addEdge("fail", END)
  .compile();
