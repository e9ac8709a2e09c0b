import { readFile } from "node:fs/promises";
import path from "node:path";
import { AIMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { Command, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { ToolNode } from "@langchain/langgraph/prebuilt";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { declareTool, Transient, toolNode } from "../../src/index.ts";
import { declarationsOf } from "../../src/nodes/tool-declaration.ts";
import { setFailpoints } from "../../src/observe/failpoint.ts";
import { redriveRun } from "../../src/queue/redrive.ts";
import { asItStands } from "../../src/queue/redrive-plan.ts";
import { accepted, rowsOf, runtimeWith } from "../support/scenario.ts";
import { agentNames, agentOf, cutOnceAt, plainGraph, type Turns, till } from "../support/tool-agents.ts";
import { answersOf, ledgerOf, toolMessagesOf, worked } from "../support/tool-runs.ts";
import { untilEnded } from "../support/watch.ts";

afterEach(() => setFailpoints(undefined));

const anything = z.object({});
/** A tool that returns this, and how often it was called. */
function returning(name: string, value: () => unknown, fields: object = {}) {
  const made = tool(async () => value(), { name, description: name, schema: anything, ...fields });
  return declareTool(made, { class: "read" });
}
const once = (name: string): Turns => [[{ name, id: "c1" }]];
const bare = ({ id: _, ...message }: { id: string }): object => message;

describe("the result of a tool", () => {
  const results: [string, () => unknown, object?][] = [
    ["a text", () => "42"],
    ["an object", () => ({ cents: 42, lines: [1, "two", null] })],
    ["nothing", () => undefined],
    [
      "content and artifact",
      () => ["told", { at: new Date(0), big: 12n }],
      { responseFormat: "content_and_artifact" },
    ],
    ["content blocks", () => [{ type: "text", text: "hello" }]],
    [
      "a ToolMessage",
      () =>
        new ToolMessage({
          content: "own",
          tool_call_id: "c1",
          name: "other",
          status: "error",
          artifact: [1],
          id: "own-id",
        }),
    ],
  ];

  it.each(results)(
    "that is %s is told as LangGraph's own node tells it, and the same again after a cut",
    async (_, value, fields) => {
      const made = returning("look", value, fields);
      const stock = toolMessagesOf(
        (await worked(plainGraph([made], once("look"), new ToolNode([made])))).run,
      );
      const first = toolMessagesOf((await worked(plainGraph([made], once("look")))).run);
      expect(first.map(bare)).toEqual(stock.map(bare));
      cutOnceAt("effect.succeeded");
      const { run, runtime } = await worked(plainGraph([made], once("look")));
      expect(run).toMatchObject({ status: "success", attempt: 2 });
      expect(toolMessagesOf(run).map(bare)).toEqual(stock.map(bare));
      expect(await ledgerOf(runtime)).toEqual(["look succeeded"]);
    },
  );

  it("that is a Command moves the graph, also from the ledger after a cut", async () => {
    const update = { messages: [new ToolMessage({ content: "moved", tool_call_id: "call_0" })] };
    const go = returning("go", () => new Command({ update, goto: "agent" }));
    const { keys, pay } = till();
    cutOnceAt("effect.succeeded");
    const asked = [[{ name: "go" }, { name: "pay", args: { cents: 1 }, id: "c2" }]];
    const { run } = await worked(plainGraph([go, pay], asked));
    expect(run).toMatchObject({ status: "success", attempt: 2 });
    expect(answersOf(run).sort()).toEqual(["moved", "paid 1"]);
    expect(keys).toHaveLength(1);
  });

  it("that cannot be stored ends the run with an error that names the tool, and is not asked for again", async () => {
    let calls = 0;
    const made = returning("look", () => {
      calls += 1;
      return { found: [1, () => 2] };
    });
    const { run } = await worked(plainGraph([made], once("look")));
    expect(run).toMatchObject({ status: "error", error: { code: "unstorable_result" } });
    expect(JSON.stringify(run.error)).toMatch(/tool look .*found\[1\]/);
    expect(calls).toBe(1);
  });

  it("that cannot be stored is given to a redrive once somebody has written it down as docs/operations.md says", async () => {
    let calls = 0;
    const made = returning("look", () => {
      calls += 1;
      return { found: () => 2 };
    });
    const { runtime, run } = await worked(plainGraph([made], once("look")));
    const [effect] = await rowsOf(runtime, "select key from holdfast.effects");
    const operations = await readFile(path.resolve(import.meta.dirname, "../../docs/operations.md"), "utf8");
    const statement = /-- or it did.*\n(update [^;]*);/.exec(operations)?.[1] ?? "";
    const text = statement.replaceAll(":'key'", "$1").replaceAll(":'json'", "$2");
    await runtime.db.query({ text, values: [effect?.key, '{"found":2}'] });
    const { tenant, run_id: runId } = run;
    const asked = { ...asItStands, tenant, runId, principal: "op", afterSeconds: 0, dryRun: false };
    const again = await redriveRun(runtime, asked);
    const ended = await untilEnded(runtime, again.run?.run_id ?? "");
    expect(ended.status).toBe("success");
    expect(answersOf(ended)).toEqual(['{"found":2}']);
    expect(calls).toBe(1);
  });

  it("has the same message id on each attempt, so that a client sees one message", async () => {
    const node = toolNode([returning("look", () => "seen")]);
    const ids: unknown[] = [];
    const call = { name: "look", args: {}, id: "c1", type: "tool_call" as const };
    const graph = new StateGraph(MessagesAnnotation)
      .addNode("ask", () => ({ messages: [new AIMessage({ content: "", tool_calls: [call] })] }))
      .addNode("tools", async (state, config) => {
        const { messages } = await node.invoke(state, config);
        ids.push(messages[0].id);
        if (ids.length === 1) throw new Transient("once more", { retryAfterMs: 0 });
        return { messages };
      })
      .addEdge(START, "ask")
      .addEdge("ask", "tools")
      .compile();
    const { run } = await worked(graph);
    expect(run).toMatchObject({ status: "success", attempt: 2 });
    expect(ids).toEqual([ids[0], ids[0]]);
    expect(toolMessagesOf(run).map(({ id }) => id)).toEqual([ids[0]]);
  });
});

describe("what the model is told", () => {
  it.each(agentNames.filter((name) => name !== "createAgent of langchain"))(
    "of an unknown tool and of wrong arguments by %s is what LangGraph says, without a row",
    async (name) => {
      const { keys, pay } = till();
      const asked = [[{ name: "nope" }, { name: "pay", args: { cents: "lots" } }]];
      const { run, runtime } = await worked(agentOf(name, [pay], asked));
      const stock = await worked(plainGraph([pay], asked, new ToolNode([pay])));
      expect(toolMessagesOf(run).map(bare)).toEqual(toolMessagesOf(stock.run).map(bare));
      expect(toolMessagesOf(run).map(({ status }) => status)).toEqual(["error", "error"]);
      expect([keys, await ledgerOf(runtime)]).toEqual([[], []]);
    },
  );

  it("of an unknown tool and of wrong arguments by createAgent is what LangChain says, without a row", async () => {
    const { keys, pay } = till();
    const asked = [[{ name: "nope" }, { name: "pay", args: { cents: "lots" } }]];
    const { run, runtime } = await worked(agentOf("createAgent of langchain", [pay], asked));
    expect(run).toMatchObject({ status: "success", error: null });
    expect(answersOf(run)).toEqual([
      expect.stringContaining("nope is not a valid tool"),
      expect.stringContaining("did not match expected schema"),
    ]);
    expect([keys, await ledgerOf(runtime)]).toEqual([[], []]);
  });

  it.each(agentNames)("of a reading tool that fails by %s is its error", async (name) => {
    const made = returning("look", () => {
      throw new Error("no such customer");
    });
    const { run } = await worked(agentOf(name, [made], [[{ name: "look" }], "sorry"]));
    expect(run).toMatchObject({ status: "success", error: null, attempt: 1 });
    expect(answersOf(run)).toEqual(["Error: no such customer\n Please fix your mistakes."]);
  });

  it.each(agentNames)("nothing of a transient failure by %s: the run is tried again", async (name) => {
    let calls = 0;
    const made = returning("look", () => {
      calls += 1;
      if (calls === 1) throw new Transient("busy", { retryAfterMs: 0 });
      return "at last";
    });
    const { run } = await worked(agentOf(name, [made], [[{ name: "look" }], "thanks"]));
    expect(run).toMatchObject({ status: "success", attempt: 2 });
    expect(answersOf(run)).toEqual(["at last"]);
  });
});

describe("tool messages", () => {
  it.each(agentNames)("of %s are streamed in the modes values, updates and messages", async (name) => {
    const { pay } = till();
    const runtime = await runtimeWith(
      agentOf(
        name,
        [pay],
        [
          [
            { name: "pay", args: { cents: 1 } },
            { name: "pay", args: { cents: 2 } },
          ],
        ],
      ),
    );
    runtime.work();
    const input = { messages: [{ role: "user", content: "go" }] };
    const modes = ["values", "updates", "messages-tuple"] as const;
    const { run_id } = await accepted(runtime, {
      kwargs: { input, stream_mode: [...modes] as never, stream_subgraphs: true },
    });
    await untilEnded(runtime, run_id);
    const events = await rowsOf(
      runtime,
      "select event, data from holdfast.run_events where run_id = $1",
      run_id,
    );
    for (const mode of ["values", "updates", "messages"]) {
      const seen = events
        .filter(({ event }) => String(event).startsWith(mode))
        .map(({ data }) => String(data));
      expect([mode, seen.some((data) => data.includes("paid 2"))]).toEqual([mode, true]);
    }
  });
});

describe("declared tools", () => {
  it.each(agentNames)("of %s are found in the compiled graph", (name) => {
    const { pay } = till();
    const undeclared = tool(() => "x", { name: "other", description: "x", schema: anything });
    const found = declarationsOf(agentOf(name, [pay, undeclared], []));
    expect(found.map(({ name: tool, class: kind }) => [tool, kind])).toEqual([["pay", "idempotent"]]);
  });

  it("give their functions the arguments as the schema reads them, and what the tool returned", async () => {
    const seen: unknown[] = [];
    const schema = z.object({ cents: z.int(), currency: z.string().default("EUR") });
    const pay = tool(async ({ cents }) => ({ receipt: `r-${cents}` }), {
      name: "pay",
      description: "pays",
      schema,
    });
    declareTool(pay, {
      class: "compensatable",
      keyOf: ({ currency }) => currency,
      compensate: async ({ args, result }) => seen.push(args.currency, result.receipt),
    });
    const [declaration] = declarationsOf({ tools: [pay] });
    expect(declaration?.keyOf?.({ cents: 1 } as never)).toBe("EUR");
    await declaration?.compensate?.(
      { args: { cents: 1 }, result: { receipt: "r-1" }, key: "k" } as never,
      "k2",
    );
    expect(seen).toEqual(["EUR", "r-1"]);
  });

  it("refuse a limit of no calls at once", () => {
    expect(() => toolNode([], { parallelMax: 0 })).toThrow("parallelMax");
  });
});
