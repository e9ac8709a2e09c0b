const { HumanMessage } = require("@langchain/core/messages");
const { Annotation, Command, interrupt, messagesStateReducer, StateGraph } = require("@langchain/langgraph");
const { effect } = require("holdfast");

const State = Annotation.Root({
  messages: Annotation({ reducer: messagesStateReducer, default: () => [] }),
  paid: Annotation(),
  said: Annotation(),
});

const payment = { name: "pay", class: "idempotent", args: { cents: 1 } };

const nodes = {
  pay: async () => ({ paid: await effect(payment, async (key) => ({ sent: key.length > 0 })) }),
  ask: () =>
    new Command({
      update: { said: interrupt("sure?"), messages: [new HumanMessage("asked")] },
      goto: "end",
    }),
  end: ({ messages }) => ({ messages: [{ role: "assistant", content: `after ${messages.length}` }] }),
};

exports.effect = effect;

/** A graph with all that needs one copy of LangGraph and of "holdfast": an effect, a question, a command. */
exports.build = () =>
  new StateGraph(State)
    .addNode("pay", nodes.pay)
    .addNode("ask", nodes.ask, { ends: ["end"] })
    .addNode("end", nodes.end)
    .addEdge("__start__", "pay")
    .addEdge("pay", "ask")
    .addEdge("end", "__end__");
