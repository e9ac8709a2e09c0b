import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configurableBytesMax } from "../../src/queue/asked.ts";
import { openTestApp, type TestApp } from "../support/http.ts";
import { countingStatements } from "../support/statements.ts";

let t: TestApp;
beforeAll(async () => {
  t = await openTestApp();
});
afterAll(() => t.close());

const newThread = async (body: unknown = {}): Promise<string> =>
  (await t.send("POST", "/threads", body)).json.thread_id;

describe("threads", () => {
  it("are created, read, patched, counted and deleted", async () => {
    const made = await t.send("POST", "/threads", { metadata: { user: "a" } });
    expect(made).toMatchObject({
      status: 200,
      json: { status: "idle", metadata: { user: "a" }, values: null, interrupts: {} },
    });
    const url = `/threads/${made.json.thread_id}`;
    expect((await t.send("PATCH", url, { metadata: { seen: 1 } })).json.metadata).toEqual({
      user: "a",
      seen: 1,
    });
    const quiet = await t.send("PATCH", url, { metadata: { seen: 2 } }, { prefer: "return=minimal" });
    expect(quiet).toMatchObject({ status: 204, text: "" });
    expect((await t.send("POST", "/threads/count", { metadata: { user: "a" } })).json).toBe(1);
    expect((await t.send("DELETE", url)).status).toBe(204);
    expect(await t.send("GET", url)).toMatchObject({
      status: 404,
      text: `Thread with ID ${made.json.thread_id} not found`,
    });
  });

  it("keep the id a caller gave, and are made once", async () => {
    const thread_id = crypto.randomUUID();
    expect((await t.send("POST", "/threads", { thread_id })).json.thread_id).toBe(thread_id);
    expect(await t.send("POST", "/threads", { thread_id })).toMatchObject({
      status: 409,
      text: "Thread already exists",
    });
    expect((await t.send("POST", "/threads", { thread_id, if_exists: "do_nothing" })).json.thread_id).toBe(
      thread_id,
    );
  });

  it("have their values read by nobody but who is shown them", async () => {
    const id = await newThread({ metadata: { graph_id: "steps" } });
    await t.send("POST", `/threads/${id}/state`, { values: { seen: ["a"] }, as_node: "one" });
    const checkpoint_id = (await t.send("GET", `/threads/${id}/state`)).json.checkpoint.checkpoint_id;
    const { counts, stop } = countingStatements(t.db);
    const run = { assistant_id: "steps", input: {}, checkpoint_id };
    expect((await t.send("POST", `/threads/${id}/runs`, run)).status).toBe(200);
    for (const what of ["runs", "state", "effects", "explain"])
      expect((await t.send("GET", `/threads/${id}/${what}`)).status).toBe(200);
    expect((await t.send("PATCH", `/threads/${id}`, { metadata: { seen: 1 } })).status).toBe(200);
    expect(counts.get("thread.get")).toBeUndefined();
    expect((await t.send("GET", `/threads/${id}`)).json.values).toEqual({ seen: ["a"] });
    expect(counts.get("thread.get")).toBe(1);
    stop();
  });

  it("are searched page by page", async () => {
    for (let n = 0; n < 3; n += 1) await newThread({ metadata: { page: true, n } });
    const first = await t.send("POST", "/threads/search", { metadata: { page: true }, limit: 2 });
    expect(first.json).toHaveLength(2);
    expect(first.headers.get("x-pagination-total")).toBe("3");
    expect(first.headers.get("x-pagination-next")).toBe("2");
    const last = await t.send("POST", "/threads/search", {
      metadata: { page: true },
      limit: 2,
      offset: 2,
      select: ["status"],
    });
    expect(last.json).toEqual([{ thread_id: expect.any(String), status: "idle" }]);
    expect(last.headers.get("x-pagination-next")).toBeNull();
  });

  it("keep no more of what callers configure than a limit", async () => {
    const thread_id = await newThread();
    const said = (name: string) => ({
      assistant_id: "steps",
      config: { configurable: { [name]: "x".repeat(configurableBytesMax * 0.6) } },
    });
    expect((await t.send("POST", `/threads/${thread_id}/runs`, said("one"))).status).toBe(200);
    const { status, json } = await t.send("POST", `/threads/${thread_id}/runs`, said("two"));
    expect(status).toBe(422);
    expect(json.error.issues[0].path).toEqual(["config", "configurable"]);
    expect((await t.send("POST", `/threads/${thread_id}/runs`, said("one"))).status).toBe(200);
  });

  it("are counted also on a page behind the end", async () => {
    await newThread({ metadata: { behind: true } });
    const filter = { metadata: { behind: true } };
    const { headers, json } = await t.send("POST", "/threads/search", { ...filter, offset: 500 });
    expect(json).toEqual([]);
    expect(headers.get("x-pagination-total")).toBe("1");
    const assistants = await t.send("POST", "/assistants/search", { offset: 500 });
    const count = (await t.send("POST", "/assistants/count", {})).json;
    expect(assistants.headers.get("x-pagination-total")).toBe(String(count));
    await t.send("POST", "/runs/crons", { assistant_id: "steps", schedule: "@daily" });
    const crons = await t.send("POST", "/runs/crons/search", { offset: 500 });
    expect(crons.headers.get("x-pagination-total")).toBe("1");
  });

  it("answer a bad id as the Agent Server does", async () => {
    const issue = {
      validation: "uuid",
      code: "invalid_string",
      message: "Invalid uuid",
      path: ["thread_id"],
    };
    expect(await t.send("GET", "/threads/no-uuid")).toMatchObject({
      status: 400,
      json: { success: false, error: { issues: [issue], name: "ZodError" } },
    });
  });
});

describe("state", () => {
  it("of a thread without a graph is empty, and cannot be written", async () => {
    const id = await newThread();
    expect((await t.send("GET", `/threads/${id}/state`)).json).toMatchObject({
      values: {},
      next: [],
      tasks: [],
      checkpoint: null,
    });
    expect((await t.send("POST", `/threads/${id}/history`, {})).json).toEqual([]);
    expect((await t.send("POST", `/threads/${id}/state`, { values: {} })).status).toBe(400);
  });

  it("is written as a node, shown on the thread and found in its history", async () => {
    const id = await newThread({ metadata: { graph_id: "steps" } });
    const first = await t.send("POST", `/threads/${id}/state`, { values: { seen: ["a"] }, as_node: "one" });
    expect(first).toMatchObject({ status: 200, json: { checkpoint: { thread_id: id, checkpoint_ns: "" } } });
    expect((await t.send("GET", `/threads/${id}`)).json).toMatchObject({
      status: "interrupted",
      values: { seen: ["a"] },
    });
    const state = await t.send("GET", `/threads/${id}/state`);
    expect(state.json).toMatchObject({
      values: { seen: ["a"] },
      next: ["two"],
      tasks: [{ name: "two", interrupts: [], error: null }],
      checkpoint: { checkpoint_id: first.json.checkpoint.checkpoint_id, checkpoint_map: null },
      parent_checkpoint: null,
      interrupts: [],
    });
    await t.send("POST", `/threads/${id}/state`, { values: { seen: ["b"] }, as_node: "two" });
    const history = await t.send("POST", `/threads/${id}/history`, { limit: 5 });
    expect(history.json.map((s: { values: unknown }) => s.values)).toEqual([
      { seen: ["a", "b"] },
      { seen: ["a"] },
    ]);
    const before = await t.send(
      "GET",
      `/threads/${id}/history?before=${history.json[0].checkpoint.checkpoint_id}`,
    );
    expect(before.json).toHaveLength(1);
    const at = `/threads/${id}/state/${first.json.checkpoint.checkpoint_id}`;
    expect((await t.send("GET", at)).json.values).toEqual({ seen: ["a"] });
    const { checkpoint } = first.json;
    expect((await t.send("POST", `/threads/${id}/state/checkpoint`, { checkpoint })).json.values).toEqual({
      seen: ["a"],
    });
    const fork = await t.send("POST", `/threads/${id}/state`, {
      values: { seen: ["c"] },
      as_node: "two",
      checkpoint,
    });
    expect(fork.status).toBe(200);
    expect((await t.send("GET", `/threads/${id}`)).json.values).toEqual({ seen: ["a", "c"] });
  });

  it("refuses unknown nodes, values and checkpoints, and changes nothing", async () => {
    const id = await newThread({ metadata: { graph_id: "steps" } });
    const before = await t.rows();
    for (const body of [
      { values: { seen: ["a"] }, as_node: "nobody" },
      { values: "text", as_node: "one" },
      { values: { seen: ["a"] }, as_node: "one", checkpoint_id: "1ef00000-0000-6000-8000-000000000000" },
    ]) {
      expect(await t.send("POST", `/threads/${id}/state`, body), JSON.stringify(body)).toMatchObject({
        status: 422,
      });
    }
    expect((await t.send("GET", `/threads/${id}/state/1ef00000-0000-6000-8000-000000000000`)).status).toBe(
      404,
    );
    expect(await t.rows()).toEqual(before);
  });

  it("cannot be written while a run is waiting or running", async () => {
    const id = await newThread();
    await t.send("POST", `/threads/${id}/runs`, { assistant_id: "steps", input: {} });
    expect(await t.send("POST", `/threads/${id}/state`, { values: {}, as_node: "one" })).toMatchObject({
      status: 409,
      text: "Thread is busy",
    });
  });
});
