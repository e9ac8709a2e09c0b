import { Annotation, END, START, StateGraph } from "@langchain/langgraph";
import { effect } from "../../../src/effects/effect.ts";

const State = Annotation.Root({
  seen: Annotation<string[]>({ reducer: (a, b) => a.concat(b), default: () => [] }),
  answer: Annotation<unknown>(),
});

const books = () =>
  effect(
    {
      name: "book",
      args: { seat: 1 },
      class: "compensatable",
      keyLifetimeSeconds: 60,
      compensate: async () => ({ cancelled: true }),
    },
    async () => ({ booked: true }),
  );

/** Books something that can be undone, then fails or not, as `answer` says, or makes a call whose end stays unclear. */
export const pays = new StateGraph(State)
  .addNode("book", async () => ({ seen: [JSON.stringify(await books())] }))
  .addNode("pay", async ({ answer }) => {
    if (answer === "fail") throw new TypeError("no money");
    const pay = async () => {
      if (answer === "unclear") throw new Error("the line went dead");
      return "paid";
    };
    return { seen: [await effect({ name: "pay", args: { euros: 5 } }, pay)] };
  })
  .addEdge(START, "book")
  .addEdge("book", "pay")
  .addEdge("pay", END)
  .compile();
