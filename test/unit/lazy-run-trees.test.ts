import { AsyncLocalStorage } from "node:async_hooks";
import { CallbackManager } from "@langchain/core/callbacks/manager";
import { AsyncLocalStorageProviderSingleton as langchain } from "@langchain/core/singletons";
import { LangChainTracer } from "@langchain/core/tracers/tracer_langchain";
import { Client } from "langsmith";
import { isRunTree, RunTree } from "langsmith/run_trees";
import { getCurrentRunTree, traceable } from "langsmith/traceable";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { makeRunTreesLazily, type Provider } from "../../src/lazy-run-trees.ts";

const config = { configurable: { thread_id: "1" }, tags: ["a"] };
const variables = Symbol.for("lc:context_variables");

/** Of its own, so that other tests keep LangChain's. */
function lazy(): Provider {
  const provider = Object.create(langchain) as Provider;
  makeRunTreesLazily(provider);
  return provider;
}

/** Without what differs from one tree to the next. */
const shown = (tree: RunTree): Record<PropertyKey, unknown> => ({
  ...tree,
  id: tree.id.length,
  trace_id: tree.trace_id === tree.id,
  start_time: typeof tree.start_time,
  dotted_order: tree.dotted_order.endsWith(tree.id),
  _serialized_start_time: undefined,
});

const treeOf = (provider: Provider): RunTree =>
  provider.runWithConfig(config, () => provider.getInstance().getStore() as RunTree);

describe("run trees made lazily", () => {
  beforeAll(() => langchain.initializeGlobalInstance(new AsyncLocalStorage()));

  it("give the config of what runs, also behind an await, and nothing outside of it", async () => {
    const provider = lazy();
    await provider.runWithConfig(config, async () => {
      expect(langchain.getRunnableConfig()).toBe(config);
      await Promise.resolve();
      expect(langchain.getRunnableConfig()).toBe(config);
    });
    expect(langchain.getRunnableConfig()).toBeUndefined();
    const outside = (): unknown => langchain.getRunnableConfig();
    expect(provider.runWithConfig(config, outside, true)).toBeUndefined();
  });

  it("are made only when somebody looks at more than what LangChain reads of each", () => {
    const made = vi.spyOn(RunTree, "getSharedClient");
    const tree = treeOf(lazy());
    expect(tree.tracingEnabled).toBe(false);
    expect(tree instanceof RunTree).toBe(true);
    expect(made).not.toHaveBeenCalled();
    expect(tree.id).toBe(tree.id);
    expect(made).toHaveBeenCalledOnce();
  });

  it("show, copy and give children like those that LangChain makes", () => {
    const [own, theirs] = [treeOf(lazy()), treeOf(langchain)];
    expect(isRunTree(own)).toBe(true);
    expect(shown(treeOf(lazy()))).toEqual(shown(theirs));
    expect(Object.keys(treeOf(lazy()))).toEqual(expect.arrayContaining(Object.keys(theirs)));
    expect(shown(new RunTree(treeOf(lazy())))).toEqual(shown(new RunTree(theirs)));
    const child = own.createChild({ name: "child" });
    expect([child.parent_run, child.trace_id, own.child_runs]).toEqual([own, own.id, [child]]);
    expect(own.child_execution_order).toBe(2);
    const changed = treeOf(lazy());
    changed.name = "changed";
    expect(shown(changed)).toEqual({ ...shown(theirs), name: "changed" });
  });

  it("keep the variables that were set around them", () => {
    const within = { [variables]: { colour: "red" } } as unknown as RunTree;
    const trees = [lazy(), langchain].map((provider) =>
      langchain.getInstance().run(within, () => treeOf(provider)),
    );
    for (const tree of trees) {
      expect(variables in tree).toBe(true);
      expect(Reflect.get(tree, variables)).toEqual({ colour: "red" });
    }
    expect(variables in treeOf(lazy())).toBe(false);
  });

  it("trace nothing that LangSmith's own functions do inside", async () => {
    const client = new Client({ apiUrl: "http://127.0.0.1:9", apiKey: "none" });
    const created = vi.spyOn(client, "createRun").mockResolvedValue(undefined);
    const inner = traceable((n: number) => [n, getCurrentRunTree(true)?.tracingEnabled], {
      name: "inner",
      client,
    });
    expect(await lazy().runWithConfig(config, () => inner(1))).toEqual(
      await langchain.runWithConfig(config, () => inner(1)),
    );
    expect(created).not.toHaveBeenCalled();
  });

  it("stand back for the tree of a tracer", async () => {
    const client = new Client({ apiUrl: "http://127.0.0.1:9", apiKey: "none" });
    vi.spyOn(client, "createRun").mockResolvedValue(undefined);
    const tracer = new LangChainTracer({ client });
    const manager = new CallbackManager();
    manager.addHandler(tracer);
    const run = await manager.handleChainStart(
      { lc: 1, type: "not_implemented", id: ["graph"] },
      {},
      "11111111-1111-4111-8111-111111111111",
    );
    const provider = lazy();
    const seen = provider.runWithConfig({ callbacks: run.getChild() }, () =>
      provider.getInstance().getStore(),
    );
    expect((seen as RunTree).id).toBe("11111111-1111-4111-8111-111111111111");
    expect((seen as RunTree).tracingEnabled).toBe(true);
  });
});
