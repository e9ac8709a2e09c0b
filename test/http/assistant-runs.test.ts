import type { Client } from "@langchain/langgraph-sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { threadsPerDeleteMax } from "../../src/http/assistant-threads.ts";
import { makeRun } from "../support/factory.ts";
import { countingStatements } from "../support/statements.ts";
import { startTwoTenants, type TwoTenants } from "../support/two-tenants.ts";

let t: TwoTenants;
let runtime: TwoTenants["runtime"];
let mine: Client;
let yours: Client;
beforeAll(async () => {
  t = await startTwoTenants();
  ({ runtime, mine, yours } = t);
});
afterAll(() => t.close());

const told = { graphId: "told" };

const toldBy = async (assistantId: string, threadId: string | null, payload: object = {}) =>
  ((await mine.runs.wait(threadId as string, assistantId, { input: {}, ...payload })) as { told: unknown })
    .told;

describe("a run", () => {
  it("of a graph's own assistant does not read it each time", async () => {
    const run = () => mine.runs.wait(null, "told", { input: {} });
    await run();
    const { counts, stop } = countingStatements(runtime.db);
    for (let n = 0; n < 3; n += 1) await run();
    stop();
    expect(counts.get("assistant.get")).toBeUndefined();
    expect(counts.get("run.insert_many")).toBe(3);
  });

  it("gets its assistant's graph, config, context and metadata, and its own before these", async () => {
    const { assistant_id: id } = await mine.assistants.create({
      ...told,
      config: { tags: ["t"], configurable: { model: "small", tone: "dry" } },
      context: { region: "eu", unit: 1 },
      metadata: { team: "a" },
    });
    expect(await toldBy(id, null)).toEqual({
      model: "small",
      tone: "dry",
      context: { region: "eu", unit: 1 },
      tags: ["t"],
      team: "a",
    });
    const { thread_id } = await mine.threads.create();
    const own = {
      config: { tags: ["u"], configurable: { model: "large" } },
      context: { unit: 2 },
      metadata: { team: "b" },
    };
    expect(await toldBy(id, thread_id, own)).toEqual({
      model: "large",
      tone: "dry",
      context: { region: "eu", unit: 2 },
      tags: ["u"],
      team: "b",
    });
    const [run] = await mine.runs.list(thread_id);
    expect(run).toMatchObject({ assistant_id: id, metadata: { assistant_id: id, graph_id: "told" } });
    // What a caller said stays with the thread.
    expect(await toldBy(id, thread_id)).toMatchObject({ model: "large", tone: "dry" });
  });

  it("gets the version that is in use when it is accepted, also on a thread that knew another", async () => {
    const { assistant_id: id } = await mine.assistants.create({
      ...told,
      config: { configurable: { model: "small" } },
    });
    const { thread_id } = await mine.threads.create();
    expect(await toldBy(id, thread_id)).toMatchObject({ model: "small" });
    await mine.assistants.update(id, { config: { configurable: { model: "large" } } });
    expect(await toldBy(id, thread_id)).toMatchObject({ model: "large" });
    await mine.assistants.setLatest(id, 1);
    expect(await toldBy(id, thread_id)).toMatchObject({ model: "small" });
  });

  it.each(["a command", "a decision"])(
    "that carries an answer by %s speaks for the same assistant",
    async (way) => {
      const { assistant_id: id } = await mine.assistants.create({
        graphId: "other",
        config: { configurable: { model: "small" } },
        context: { region: "eu" },
        metadata: { team: "a" },
      });
      const { thread_id } = await mine.threads.create();
      await mine.runs.wait(thread_id, id, { input: {} });
      if (way === "a command") {
        await mine.runs.wait(thread_id, id, { command: { resume: "yes" } });
      } else {
        const [question] = JSON.parse((await t.send("GET", `/escalations?thread_id=${thread_id}`)).text);
        const decided = await t.send("POST", `/escalations/${question.escalation_id}/decide`, {
          resume: "yes",
        });
        expect(decided.status).toBe(202);
        await mine.runs.join(thread_id, (await mine.runs.list(thread_id))[0]?.run_id ?? "");
      }
      expect((await mine.threads.get(thread_id)).values).toEqual({
        told: { model: "small", context: { region: "eu" }, tags: [], team: "a" },
      });
      expect((await mine.runs.list(thread_id)).map(({ assistant_id }) => assistant_id)).toEqual([id, id]);
    },
  );

  it("goes on after its assistant was deleted, and a new one is refused", async () => {
    const { assistant_id: id } = await mine.assistants.create({
      graphId: "other",
      config: { configurable: { model: "small" } },
    });
    const { thread_id } = await mine.threads.create();
    const run = await mine.runs.create(thread_id, id, { input: {}, afterSeconds: 30 });
    expect(await mine.assistants.delete(id)).toEqual([id]);
    await expect(mine.runs.create(thread_id, id, { input: {} })).rejects.toThrow("404: Assistant not found");
    runtime.clock.advance(31_000);
    await mine.runs.join(thread_id, run.run_id);
    expect((await mine.threads.get(thread_id)).status).toBe("interrupted");
    expect((await mine.runs.get(thread_id, run.run_id)).status).toBe("success");
  });

  it("is refused when the graph of its assistant is not there", async () => {
    const { assistant_id: id } = await mine.assistants.create(told);
    await runtime.db.query({
      text: "update holdfast.assistants set graph_id = 'gone' where assistant_id = $1",
      values: [id],
    });
    await expect(mine.runs.wait(null, id, { input: {} })).rejects.toThrow("404: Graph gone not found");
    expect((await mine.assistants.get(id)).graph_id).toBe("gone");
    expect(await mine.assistants.delete(id)).toEqual([id]);
  });
});

describe("deleting an assistant with its threads", () => {
  it("takes the tenant's threads that ran with it, and only on request", async () => {
    const kept = await mine.assistants.create(told);
    const { thread_id: stays } = await mine.threads.create();
    await toldBy(kept.assistant_id, stays);
    await mine.assistants.delete(kept.assistant_id);
    expect((await mine.threads.get(stays)).thread_id).toBe(stays);
    const { assistant_id: id } = await mine.assistants.create(told);
    const { thread_id: goes } = await mine.threads.create();
    await toldBy(id, goes);
    const foreign = await yours.threads.create({ metadata: { assistant_id: id } });
    expect(await mine.assistants.delete(id, { deleteThreads: true })).toEqual([id]);
    await expect(mine.threads.get(goes)).rejects.toThrow("404");
    expect((await mine.threads.get(stays)).thread_id).toBe(stays);
    expect((await yours.threads.get(foreign.thread_id)).thread_id).toBe(foreign.thread_id);
  });

  it("takes a bounded number at once, and says that more are left", async () => {
    const { assistant_id: id } = await mine.assistants.create(told);
    await runtime.db.query({
      text: `insert into holdfast.threads (thread_id, tenant, metadata)
             select gen_random_uuid(), 'mine', jsonb_build_object('assistant_id', $1::text) from generate_series(1, $2)`,
      values: [id, threadsPerDeleteMax + 1],
    });
    const deleting = () => mine.assistants.delete(id, { deleteThreads: true });
    await expect(deleting()).rejects.toThrow(`409: Assistant ${id} had more than ${threadsPerDeleteMax}`);
    expect(await mine.threads.count({ metadata: { assistant_id: id } })).toBe(1);
    expect(await deleting()).toEqual([id]);
  });

  it("is refused while a thread undoes something, and the assistant stays", async () => {
    const { assistant_id: id } = await mine.assistants.create(told);
    const { thread_id } = await makeRun(runtime.db, "queued", { tenant: "mine", assistantId: id });
    await runtime.db.query({
      text: "update holdfast.runs set kind = 'compensation' where thread_id = $1",
      values: [thread_id],
    });
    await expect(mine.assistants.delete(id, { deleteThreads: true })).rejects.toThrow(
      /409: run .* is a comp/,
    );
    expect((await mine.assistants.get(id)).assistant_id).toBe(id);
    expect((await mine.threads.get(thread_id)).thread_id).toBe(thread_id);
  });
});

describe("a graph", () => {
  const object = (properties: object) => expect.objectContaining({ type: "object", properties });
  const topic = { type: "string" };

  it("shows the schemas of its state, input, output and context", async () => {
    const { assistant_id: id } = await mine.assistants.create({ graphId: "zodded" });
    const found = await mine.assistants.getSchemas(id);
    const config = object({ model: { type: "string" } });
    expect(found).toEqual({
      graph_id: "zodded",
      state_schema: object({ topic, pages: expect.objectContaining({ type: "number" }) }),
      input_schema: object({ topic }),
      output_schema: object({ pages: { type: "number" } }),
      config_schema: config,
      context_schema: config,
    });
    expect(await mine.assistants.getSchemas("declared")).toMatchObject({
      state_schema: { type: "object", properties: { topic } },
      input_schema: { type: "object", properties: { topic } },
      config_schema: null,
    });
  });

  it("shows null where it does not say", async () => {
    expect(await mine.assistants.getSchemas("told")).toEqual({
      graph_id: "told",
      state_schema: null,
      input_schema: null,
      output_schema: null,
      config_schema: null,
      context_schema: null,
    });
    await expect(mine.assistants.getSchemas("nobody")).rejects.toThrow("404: Assistant not found");
  });

  it("shows its subgraphs, those of one node, and those below", async () => {
    const names = async (options?: { namespace?: string; recurse?: boolean }) =>
      Object.keys(await mine.assistants.getSubgraphs("nested", options));
    expect(await names()).toEqual(["middle"]);
    expect(await names({ recurse: false })).toEqual(["middle"]);
    expect(await names({ recurse: true })).toEqual(["middle", "middle|inner"]);
    expect(await names({ namespace: "middle" })).toEqual(["middle"]);
    expect(await names({ namespace: "middle|inner", recurse: true })).toEqual(["middle|inner"]);
    expect(await names({ namespace: "nobody", recurse: true })).toEqual([]);
    const found = await mine.assistants.getSubgraphs("nested", { recurse: true });
    expect(found["middle|inner"]).toMatchObject({ state: { type: "object", properties: { topic } } });
    expect(await mine.assistants.getSubgraphs("told")).toEqual({});
  });

  it("is drawn as deep as was asked", async () => {
    const nodes = async (xray?: boolean | number) =>
      (await mine.assistants.getGraph("nested", xray === undefined ? {} : { xray })).nodes
        .map(({ id }) => String(id))
        .filter((id) => !id.startsWith("__"));
    for (const flat of [undefined, false, 0]) expect(await nodes(flat)).toEqual(["middle"]);
    expect(await nodes(1)).toEqual(["middle:plan", "middle:inner"]);
    for (const deep of [2, true])
      expect(await nodes(deep)).toEqual(["middle:plan", "middle:inner:write", "middle:inner:check"]);
    for (const wrong of [-1, 1.5, 99]) {
      await expect(nodes(wrong), String(wrong)).rejects.toThrow("xray: ");
    }
  });
});
