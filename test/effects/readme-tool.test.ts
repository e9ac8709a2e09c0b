// The sample of README.md, "Add a tool that does something once", as it stands there.
import { readFile } from "node:fs/promises";
import path from "node:path";
import { tool } from "@langchain/core/tools";
import { END, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { describe, expect, it } from "vitest";
import { declareTool, idempotencyKey, NotDone, toolNode, z } from "../../src/index.ts";
import { plainGraph } from "../support/tool-agents.ts";
import { answersOf, worked } from "../support/tool-runs.ts";
import { until } from "../support/watch.ts";

const orders = new Map<string, string>();
const undone: string[] = [];
const bank = {
  async transfer({ iban, key }: { iban: string; cents: number; key: string }) {
    if (iban === "") return { refused: "no such account", receipt: "" };
    orders.set(key, iban);
    return { refused: null, receipt: `r-${orders.size}` };
  },
  async cancel({ receipt }: { receipt: string; key: string }) {
    undone.push(receipt);
  },
};

// <sample>
const pay = declareTool(
  tool(
    async ({ iban, cents }) => {
      const { refused, receipt } = await bank.transfer({ iban, cents, key: idempotencyKey() });
      if (refused !== null) throw new NotDone(refused);
      return { receipt };
    },
    {
      name: "pay",
      description: "Pays an account.",
      schema: z.object({ iban: z.string(), cents: z.int() }),
    },
  ),
  {
    class: "compensatable",
    keyLifetimeSeconds: 86_400,
    compensate: async ({ result }, key) => bank.cancel({ receipt: result.receipt, key }),
  },
);
// </sample>

describe("the tool of the README", () => {
  it("stands there as it is tested here", async () => {
    const read = (file: string): Promise<string> => readFile(path.resolve(import.meta.dirname, file), "utf8");
    const sample = /\/\/ <sample>\n([\s\S]*?)\/\/ <\/sample>/.exec(await read("readme-tool.test.ts"))?.[1];
    expect(await read("../../README.md")).toContain(sample?.trim());
  });

  it("pays once for each call, and tells the model what was refused", async () => {
    const asked = [
      { name: "pay", args: { iban: "DE1", cents: 1 } },
      { name: "pay", args: { iban: "", cents: 2 } },
    ];
    const { run } = await worked(plainGraph([pay], [asked], toolNode([pay])));
    expect(answersOf(run)).toEqual([
      '{"receipt":"r-1"}',
      "Error: no such account\n Please fix your mistakes.",
    ]);
    expect(orders.size).toBe(1);
    expect(undone).toEqual([]);
  });

  it("undoes a payment whose run fails", async () => {
    const asked = [{ name: "pay", args: { iban: "DE2", cents: 1 } }];
    const graph = new StateGraph(MessagesAnnotation)
      .addNode("pays", plainGraph([pay], [asked], toolNode([pay])))
      .addNode("fails", () => {
        throw new Error("no");
      })
      .addEdge(START, "pays")
      .addEdge("pays", "fails")
      .addEdge("fails", END)
      .compile();
    const { runtime, run } = await worked(graph);
    expect(run.status).toBe("error");
    const receipts = await until(
      runtime.bus,
      async () => (undone.length > 0 ? undone : undefined),
      "the payment to be undone",
    );
    expect(receipts).toEqual([`r-${orders.size}`]);
  });
});
