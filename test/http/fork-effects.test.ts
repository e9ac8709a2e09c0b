import { Client } from "@langchain/langgraph-sdk";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listen } from "../../src/http/listen.ts";
import { payingGraph, placeEffects, rowsDigest, senderOf, type World } from "../support/dead-letters.ts";
import { runById } from "../support/factory.ts";
import { registryOf, startRuntime, type TestRuntime } from "../support/runtime.ts";

const world: World = { broken: false, paid: [] };
let runtime: TestRuntime;
let server: Awaited<ReturnType<typeof listen>>;
let client: Client;
let thread: string;

beforeEach(async () => {
  Object.assign(world, { broken: false, paid: [] });
  runtime = await startRuntime({ registry: await registryOf("any", payingGraph(world)) });
  server = await listen({ app: senderOf(runtime).app, host: "127.0.0.1", port: 0 });
  client = new Client({ apiUrl: server.url, callerOptions: { maxRetries: 0 } });
  runtime.work();
  thread = (await client.threads.create()).thread_id;
  await client.runs.wait(thread, "any", { input: { log: ["in"] } });
  await placeEffects(runtime, thread, await onto("pay"));
});
afterEach(async () => {
  await server.stop();
  await runtime.close();
});

/** The checkpoint on which a node was about to run, the newest such. */
async function onto(node: string): Promise<string> {
  const history = await client.threads.getHistory(thread);
  return String(history.find(({ next }) => next[0] === node)?.checkpoint.checkpoint_id);
}
async function set(column: string, value: string): Promise<void> {
  await runtime.db.query({ text: `update holdfast.effects set ${column} = $1`, values: [value] });
}
const fork = (checkpointId: string, policy?: string) =>
  client.runs.create(thread, "any", {
    checkpointId,
    ...(policy === undefined ? {} : { config: { configurable: { holdfast_effects: policy } } }),
  });

describe("a fork to a point before an effect", () => {
  it.each([undefined, "deny"])(
    "is refused with the list of effects (policy %s), and changes nothing",
    async (policy) => {
      for (const node of ["plan", "pay"]) {
        const checkpoint = await onto(node);
        const digest = await rowsDigest(runtime);
        const refused = fork(checkpoint, policy);
        await expect(refused, node).rejects.toMatchObject({ status: 409 });
        await expect(refused).rejects.toThrow(/pay \(succeeded .*arguments [0-9a-f]{12}\)/);
        expect(await rowsDigest(runtime)).toBe(digest);
      }
    },
  );

  it("is refused as well when the point stands in the configurable, as LangGraph's own config has it", async () => {
    const checkpoint_id = await onto("pay");
    const asked = client.runs.create(thread, "any", { config: { configurable: { checkpoint_id } } });
    await expect(asked).rejects.toMatchObject({ status: 409 });
  });

  it("in the configurable of one run is not kept for the next", async () => {
    const configurable = { checkpoint_id: await onto("pay"), holdfast_effects: "reuse", tone: "dry" };
    const forked = await client.runs.create(thread, "any", { config: { configurable } });
    await client.runs.join(thread, forked.run_id);
    const kept = (await client.threads.get(thread)).config as { configurable: object };
    expect(kept.configurable).toEqual({ tone: "dry" });
    const next = await client.runs.create(thread, "any", { input: { log: ["next"] } });
    await client.runs.join(thread, next.run_id);
    const { values } = await client.threads.getState<{ log: string[] }>(thread);
    expect(values.log.slice(0, 1)).toEqual(["in"]);
    expect(values.log).toContain("next");
    await expect(
      client.runs.create(thread, "any", { config: { configurable: { checkpoint_id: 7 } } } as never),
    ).rejects.toMatchObject({ status: 422 });
  });

  it.each(["reuse", "repeat"])(
    "with %s is accepted, and the ledger finds that on the run alone",
    async (policy) => {
      const { run_id } = await fork(await onto("pay"), policy);
      const run = await runById(runtime.db, run_id);
      expect(run.effects_policy).toBe(policy);
      expect(run.kwargs.config?.configurable).not.toHaveProperty("holdfast_effects");
      expect(JSON.stringify(await client.threads.get(thread))).not.toContain("holdfast_effects");
    },
  );

  it("says so for itself alone: the next one is asked again", async () => {
    const checkpoint = await onto("pay");
    await client.runs.join(thread, (await fork(checkpoint, "reuse")).run_id);
    await expect(fork(checkpoint)).rejects.toMatchObject({ status: 409 });
  });

  it("refuses a policy that there is not", async () => {
    await expect(fork(await onto("pay"), "always")).rejects.toMatchObject({ status: 422 });
  });

  it.each([
    ["class", "read"],
    ["state", "prepared"],
    ["state", "failed"],
    ["state", "reconciled_absent"],
    ["state", "compensated"],
  ])("needs no word when nothing was done: %s %s", async (column, value) => {
    await set(column, value);
    expect(await fork(await onto("plan"))).toMatchObject({ status: "pending" });
  });

  it.each(["dispatched", "unknown", "reconciled_done", "escalated"])(
    "is refused when it may have been done: %s",
    async (state) => {
      await set("state", state);
      await expect(fork(await onto("plan"))).rejects.toMatchObject({ status: 409 });
    },
  );

  it("counts an effect of a subgraph where its root was then", async () => {
    const [tell, pay] = [await onto("tell"), await onto("pay")];
    await runtime.db.query({
      text: `insert into public.checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata)
             values ($1, 'sub:1', 'inner', '{}', jsonb_build_object('parents', jsonb_build_object('', $2::text)))`,
      values: [thread, pay],
    });
    await runtime.db.query({
      text: "update holdfast.effects set checkpoint_ns = 'sub:1', checkpoint_id = 'inner'",
      values: [],
    });
    await expect(fork(pay)).rejects.toMatchObject({ status: 409 });
    expect(await fork(tell)).toMatchObject({ status: "pending" });
  });
});

describe("what is no such fork", () => {
  it("is a fork to a point after the effect", async () => {
    const { run_id } = await fork(await onto("tell"));
    expect(await client.runs.join(thread, run_id)).toMatchObject({ log: ["in", "planned", "paid", "told"] });
  });

  it("is the latest checkpoint by its name, a new input, and a thread whose state was updated where it stands", async () => {
    const latest = (await client.threads.getState(thread)).checkpoint.checkpoint_id;
    await client.runs.wait(thread, "any", { input: { log: ["named"] }, checkpointId: String(latest) });
    await placeEffects(runtime, thread, await onto("pay"));
    await client.runs.wait(thread, "any", { input: { log: ["more"] } });
    await placeEffects(runtime, thread, await onto("pay"));
    await client.threads.updateState(thread, { values: { log: ["noted"] } });
    const { run_id } = await client.runs.create(thread, "any", { input: { log: ["last"] } });
    await client.runs.join(thread, run_id);
    expect(world.paid).toHaveLength(4);
  });
});

describe("a thread whose state was updated at an older point", () => {
  it("is a fork as well: its next run is refused, until it says what to do; the one after that is not asked", async () => {
    await client.threads.updateState(thread, {
      values: { log: ["other"] },
      checkpointId: await onto("pay"),
    });
    await expect(client.runs.create(thread, "any", { input: null })).rejects.toThrow(/409.*pay \(succeeded/);
    await expect(client.runs.create(thread, "any", { input: { log: ["x"] } })).rejects.toMatchObject({
      status: 409,
    });
    const config = { configurable: { holdfast_effects: "repeat" } };
    const { run_id } = await client.runs.create(thread, "any", { input: null, config });
    await client.runs.join(thread, run_id);
    expect((await client.threads.getState(thread)).values).toMatchObject({
      log: ["in", "planned", "other", "paid", "told"],
    });
    await placeEffects(runtime, thread, await onto("pay"));
    expect(await client.runs.create(thread, "any", { input: { log: ["next"] } })).toMatchObject({
      status: "pending",
    });
  });

  it.each(["pay", "tell"])(
    "is still one when all but its latest state is pruned: an effect of %s",
    async (node) => {
      await set("checkpoint_id", await onto(node));
      await client.threads.updateState(thread, {
        values: { log: ["other"] },
        checkpointId: await onto("pay"),
      });
      expect(await client.threads.prune([thread], { strategy: "keep_latest" })).toEqual({ pruned_count: 1 });
      expect((await client.threads.getHistory(thread)).length).toBeLessThan(5);
      await expect(client.runs.create(thread, "any", { input: null })).rejects.toThrow(
        /409.*pay \(succeeded/,
      );
    },
  );

  it.each(["not pruned", "pruned"])(
    "does not give a later fork an earlier turn's result as its own when it is %s",
    async (how) => {
      if (how === "pruned") await client.threads.prune([thread], { strategy: "keep_latest" });
      const [latest] = await client.threads.getHistory(thread);
      await client.runs.wait(thread, "any", {
        input: { log: ["again"] },
        checkpointId: String(latest?.checkpoint.checkpoint_id),
        config: { configurable: { holdfast_effects: "reuse" } },
      });
      expect(world.paid).toHaveLength(2);
    },
  );

  it("can be copied when it is pruned, and has no effects then", async () => {
    await client.threads.prune([thread], { strategy: "keep_latest" });
    const copy = await client.threads.copy(thread);
    await client.runs.wait(copy.thread_id, "any", { input: { log: ["more"] } });
    expect(world.paid).toHaveLength(2);
  });
});
