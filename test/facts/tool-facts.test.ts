// What LangGraph's own tool node does, as measured; ours must not.
import { tool } from "@langchain/core/tools";
import { END, interrupt, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { ToolNode } from "@langchain/langgraph/prebuilt";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { declareTool, effect, NotDone, toolNode } from "../../src/index.ts";
import { answerTo, plainGraph, till } from "../support/tool-agents.ts";
import { answered, answersOf, ledgerOf, worked } from "../support/tool-runs.ts";

const nothing = z.object({});
const turns = [
  [
    { name: "pay", args: { cents: 1 } },
    { name: "ask", id: "c2" },
  ],
];
const retryPolicy = { maxAttempts: 3, initialInterval: 1, retryOn: () => true, logWarning: false };

/** LangGraph repeats the node in place, because it fails behind its tools. */
function flakyBehind(node: ToolNode, failures: number) {
  let executions = 0;
  const graph = new StateGraph(MessagesAnnotation)
    .addNode("agent", ({ messages }) => ({
      messages: [
        answerTo(
          [
            [
              { name: "pay", args: { cents: 1 } },
              { name: "pay", args: { cents: 2 } },
            ],
          ],
          messages,
        ),
      ],
    }))
    .addNode(
      "tools",
      async (state, config) => {
        const update = await node.invoke(state, config);
        executions += 1;
        if (executions <= failures) throw new Error("flaky behind the tools");
        return update;
      },
      { retryPolicy },
    )
    .addEdge(START, "agent")
    .addEdge("agent", "tools")
    .addEdge("tools", END)
    .compile();
  return { graph, executions: () => executions };
}

describe("row 8: a payment beside a tool that asks a human", () => {
  const ask = declareTool(
    tool(async () => String(interrupt("ok?")), { name: "ask", description: "asks", schema: nothing }),
    { class: "read" },
  );

  it("is made twice by LangGraph's own tool node", async () => {
    let paid = 0;
    const pay = tool(async () => `paid ${++paid}`, {
      name: "pay",
      description: "pays",
      schema: z.object({ cents: z.int() }),
    });
    const parked = await worked(plainGraph([pay, ask], turns, new ToolNode([pay, ask])));
    await answered(parked, "ok?", "yes");
    expect(paid).toBe(2);
  });

  it("is made once by ours", async () => {
    const { keys, pay } = till("at_most_once");
    const parked = await worked(plainGraph([pay, ask], turns));
    const { run } = await answered(parked, "ok?", "yes");
    expect(answersOf(run)).toEqual(["paid 1", "yes"]);
    expect(keys).toHaveLength(1);
  });
});

describe("row 8: a payment in a node with a retryPolicy", () => {
  it("is made once by ours, however often LangGraph repeats the node", async () => {
    const { keys, pay } = till("at_most_once");
    const { graph, executions } = flakyBehind(toolNode([pay]), 2);
    const { run, runtime } = await worked(graph);
    expect(run).toMatchObject({ status: "success", attempt: 1 });
    expect(answersOf(run)).toEqual(["paid 1", "paid 2"]);
    expect([executions(), keys.length]).toEqual([3, 2]);
    expect(await ledgerOf(runtime)).toEqual(["pay succeeded", "pay succeeded"]);
  });

  it("is made once also where a call beside it fails each time and the node is ours alone", async () => {
    const { keys, pay } = till("at_most_once");
    let tries = 0;
    const flaky = tool(
      async () => {
        tries += 1;
        if (tries < 3) throw new NotDone("not yet");
        return effect({ name: "note", args: 1 }, async () => "noted");
      },
      { name: "flaky", description: "flaky", schema: nothing },
    );
    const graph = new StateGraph(MessagesAnnotation)
      .addNode("agent", ({ messages }) => ({
        messages: [answerTo([[{ name: "pay", args: { cents: 1 } }, { name: "flaky" }]], messages)],
      }))
      .addNode("tools", toolNode([pay, flaky], { handleToolErrors: false }), { retryPolicy })
      .addEdge(START, "agent")
      .addEdge("agent", "tools")
      .addEdge("tools", END)
      .compile();
    const { run, runtime } = await worked(graph);
    expect(run).toMatchObject({ status: "success", attempt: 1 });
    expect(answersOf(run)).toEqual(["paid 1", "noted"]);
    expect([tries, keys.length]).toEqual([3, 1]);
    expect(await ledgerOf(runtime)).toEqual(["flaky succeeded", "note succeeded", "pay succeeded"]);
  });
});

describe("row 19: our tools in a subgraph without a checkpointer", () => {
  it.each([1, 2])("are refused with effect_needs_checkpointer, for %i calls", async (calls) => {
    const { keys, pay } = till();
    const asked = Array.from({ length: calls }, (_, n) => ({ name: "pay", args: { cents: n } }));
    const inner = new StateGraph(MessagesAnnotation)
      .addNode("agent", ({ messages }) => ({ messages: [answerTo([asked], messages)] }))
      .addNode("tools", toolNode([pay]))
      .addEdge(START, "agent")
      .addEdge("agent", "tools")
      .compile({ checkpointer: false });
    const graph = new StateGraph(MessagesAnnotation)
      .addNode("inner", inner)
      .addEdge(START, "inner")
      .addEdge("inner", END)
      .compile();
    const { run } = await worked(graph);
    expect(run).toMatchObject({ status: "error", error: { code: "effect_needs_checkpointer" } });
    expect(keys).toEqual([]);
  });
});
