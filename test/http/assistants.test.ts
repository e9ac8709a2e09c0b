import type { Client } from "@langchain/langgraph-sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as assistants from "../../src/db/queries/assistants.ts";
import { systemAssistantId } from "../../src/domain/ids.ts";
import { versionsMax } from "../../src/http/routes/assistants.ts";
import { startTwoTenants, type TwoTenants } from "../support/two-tenants.ts";

let t: TwoTenants;
let runtime: TwoTenants["runtime"];
let mine: Client;
let yours: Client;
let send: TwoTenants["send"];
beforeAll(async () => {
  t = await startTwoTenants();
  ({ runtime, mine, yours, send } = t);
});
afterAll(() => t.close());

const told = { graphId: "told" };

describe("an assistant", () => {
  it("is made, read, changed and deleted", async () => {
    const made = await mine.assistants.create({
      ...told,
      config: { tags: ["t"], recursion_limit: 7, configurable: { model: "small" } },
      context: { region: "eu" },
      metadata: { team: "a" },
      description: "Says what it was told.",
    });
    expect(made).toEqual({
      assistant_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      graph_id: "told",
      name: "Untitled",
      description: "Says what it was told.",
      version: 1,
      config: { tags: ["t"], recursion_limit: 7, configurable: { model: "small" } },
      context: { region: "eu" },
      metadata: { team: "a" },
      created_at: expect.any(String),
      updated_at: made.created_at,
    });
    expect(await mine.assistants.get(made.assistant_id)).toEqual(made);
    const changed = await mine.assistants.update(made.assistant_id, {
      name: "Teller",
      config: { configurable: { tone: "dry" } },
      metadata: { stage: "test" },
    });
    expect(changed).toMatchObject({
      name: "Teller",
      version: 2,
      graph_id: "told",
      description: "Says what it was told.",
      config: { configurable: { tone: "dry" } },
      context: { region: "eu" },
      metadata: { team: "a", stage: "test" },
    });
    expect(changed.config).toEqual({ configurable: { tone: "dry" } });
    const moved = await mine.assistants.update(made.assistant_id, { graphId: "other", context: {} });
    expect(moved).toMatchObject({ version: 3, graph_id: "other", name: "Teller", context: {} });
    const { status, text } = await send("DELETE", `/assistants/${made.assistant_id}`);
    expect({ status, text }).toEqual({ status: 200, text: JSON.stringify([made.assistant_id]) });
    const gone = "HTTP 404: Assistant not found";
    await expect(mine.assistants.get(made.assistant_id)).rejects.toThrow(gone);
    await expect(mine.assistants.delete(made.assistant_id)).rejects.toThrow(gone);
    await expect(mine.assistants.update(made.assistant_id, { name: "x" })).rejects.toThrow(gone);
    await expect(mine.assistants.getVersions(made.assistant_id)).rejects.toThrow(gone);
    await expect(mine.assistants.setLatest(made.assistant_id, 1)).rejects.toThrow(gone);
  });

  it("is made once", async () => {
    const assistantId = crypto.randomUUID();
    await mine.assistants.create({ ...told, assistantId, name: "first" });
    const again = { ...told, assistantId, name: "second" };
    const exists = "HTTP 409: Assistant already exists";
    await expect(mine.assistants.create(again)).rejects.toThrow(exists);
    const kept = await mine.assistants.create({ ...again, ifExists: "do_nothing" });
    expect(kept).toMatchObject({ name: "first", version: 1 });
    await expect(yours.assistants.create({ ...again, ifExists: "do_nothing" })).rejects.toThrow(exists);
    const racing = crypto.randomUUID();
    const made = await Promise.allSettled(
      ["a", "b", "c", "d"].map((name) => mine.assistants.create({ ...told, assistantId: racing, name })),
    );
    expect(made.map(({ status }) => status).sort()).toEqual([
      "fulfilled",
      "rejected",
      "rejected",
      "rejected",
    ]);
    expect(await mine.assistants.getVersions(racing)).toHaveLength(1);
  });

  it("is refused with the field that is wrong", async () => {
    const { assistant_id: id } = await mine.assistants.create(told);
    const cases: [string, string, unknown, string][] = [
      ["POST", "/assistants", {}, "graph_id"],
      ["POST", "/assistants", { graph_id: "nobody" }, "graph_id"],
      ["POST", "/assistants", { graph_id: "told", assistant_id: "x" }, "assistant_id"],
      ["POST", "/assistants", { graph_id: "told", if_exists: "maybe" }, "if_exists"],
      ["POST", "/assistants", { graph_id: "told", context: [1] }, "context"],
      ["POST", "/assistants", { graph_id: "told", metadata: { x: "y".repeat(17_000) } }, "metadata"],
      ["PATCH", `/assistants/${id}`, { graph_id: "nobody" }, "graph_id"],
      ["PATCH", `/assistants/${id}`, { name: 1 }, "name"],
      ["PATCH", `/assistants/${id}`, { config: { recursion_limit: 0 } }, "config.recursion_limit"],
      ["PATCH", `/assistants/${id}`, { config: { configurable: { __x: 1 } } }, "config.configurable.__x"],
      [
        "PATCH",
        `/assistants/${id}`,
        { config: { configurable: { holdfast_effects: "repeat" } } },
        "config.configurable",
      ],
      ["POST", `/assistants/${id}/latest`, { version: "one" }, "version"],
      ["POST", `/assistants/${id}/latest`, {}, "version"],
      ["POST", `/assistants/${id}/versions`, { limit: 1_001 }, "limit"],
      ["POST", "/assistants/search", { sort_by: "tenant" }, "sort_by"],
    ];
    for (const [method, route, body, field] of cases) {
      const { status, text } = await send(method, route, body);
      expect({ status, text }, `${method} ${field}`).toEqual({
        status: 422,
        text: expect.stringContaining(`"message":"${field}: `),
      });
    }
    expect(await mine.assistants.getVersions(id)).toHaveLength(1);
  });

  it("of a graph comes from langgraph.json, and nobody changes or deletes it", async () => {
    const id = systemAssistantId("told");
    for (const named of ["told", id]) {
      for (const [method, route, body] of [
        ["DELETE", "", undefined],
        ["DELETE", "?delete_threads=true", undefined],
        ["PATCH", "", { name: "mine now" }],
        ["POST", "/latest", { version: 1 }],
      ] as const) {
        const { status, text } = await send(method, `/assistants/${named}${route}`, body);
        expect({ status, text }).toEqual({
          status: 403,
          text: `Assistant ${id} is the system assistant of graph told: it comes from langgraph.json and cannot be ${method === "DELETE" ? "deleted" : "changed"}`,
        });
      }
    }
    await expect(mine.assistants.create({ ...told, assistantId: id })).rejects.toThrow("409");
    const kept = await mine.assistants.create({ ...told, assistantId: id, ifExists: "do_nothing" });
    expect(kept).toMatchObject({ name: "told", version: 1, metadata: { created_by: "system" } });
    const versions = await mine.assistants.getVersions(id);
    expect(versions).toMatchObject([{ version: 1, graph_id: "told", name: "told" }]);
  });

  it("keeps what a start finds, but a graph's id belongs to the graph", async () => {
    const key = { assistantId: systemAssistantId("late"), tenant: "mine" };
    const row = {
      graphId: "told",
      name: "squatter",
      description: "x",
      config: {},
      context: {},
      metadata: {},
    };
    await assistants.insertAssistant(runtime.db, { ...key, ...row });
    const change = { ...row, name: "v2", versionsMax };
    await assistants.patchAssistant(runtime.db, { ...key, ...change });
    const start = { assistantId: key.assistantId, graphId: "late", config: {}, context: {} };
    await assistants.upsertSystemAssistant(runtime.db, start);
    const [first] = await assistants.getAssistant(runtime.db, { ...key, tenant: "yours" });
    expect(first).toMatchObject({
      name: "late",
      graph_id: "late",
      version: 1,
      system: true,
      description: null,
    });
    await assistants.upsertSystemAssistant(runtime.db, start);
    expect(await assistants.getAssistant(runtime.db, key)).toEqual([first]);
    const versions = { assistantId: key.assistantId, metadata: null, access: null, limit: 10, offset: 0 };
    expect(await assistants.listVersions(runtime.db, versions)).toMatchObject([{ version: 1, name: "late" }]);
    await runtime.db.query({
      text: "delete from holdfast.assistants where assistant_id = $1",
      values: [key.assistantId],
    });
  });
});

describe("versions", () => {
  it("are listed newest first, page by page and by metadata", async () => {
    const { assistant_id: id } = await mine.assistants.create({ ...told, name: "v1", metadata: { n: 1 } });
    for (const n of [2, 3]) await mine.assistants.update(id, { name: `v${n}`, metadata: { n } });
    const versions = await mine.assistants.getVersions(id);
    expect(versions.map(({ version, name }) => [version, name])).toEqual([
      [3, "v3"],
      [2, "v2"],
      [1, "v1"],
    ]);
    expect(Object.keys(versions[0] ?? {}).sort()).toEqual([
      "assistant_id",
      "config",
      "context",
      "created_at",
      "description",
      "graph_id",
      "metadata",
      "name",
      "version",
    ]);
    expect(await mine.assistants.getVersions(id, { limit: 1, offset: 1 })).toEqual([versions[1]]);
    expect(await mine.assistants.getVersions(id, { metadata: { n: 1 } })).toEqual([versions[2]]);
  });

  it("of old come back whole, and the next change gets a number of its own", async () => {
    const { assistant_id: id } = await mine.assistants.create({
      ...told,
      name: "v1",
      description: "first",
      config: { configurable: { model: "small" } },
      context: { region: "eu" },
      metadata: { n: 1 },
    });
    await mine.assistants.update(id, {
      graphId: "other",
      name: "v2",
      description: "second",
      config: {},
      context: {},
      metadata: { n: 2 },
    });
    const back = await mine.assistants.setLatest(id, 1);
    expect(back).toMatchObject({
      version: 1,
      graph_id: "told",
      name: "v1",
      description: "first",
      config: { configurable: { model: "small" } },
      context: { region: "eu" },
      metadata: { n: 1 },
    });
    expect(await mine.assistants.get(id)).toEqual(back);
    expect(await mine.assistants.update(id, { name: "v3" })).toMatchObject({
      version: 3,
      description: "first",
    });
    await expect(mine.assistants.setLatest(id, 9)).rejects.toThrow("HTTP 404: Assistant version not found");
    expect((await mine.assistants.get(id)).version).toBe(3);
  });

  it("are as many as there were changes, also at once", async () => {
    const { assistant_id: id } = await mine.assistants.create(told);
    const changes = Array.from({ length: 8 }, (_, n) =>
      mine.assistants.update(id, { name: `n${n}`, metadata: { [`key${n}`]: n } }),
    );
    const numbers = (await Promise.all(changes)).map(({ version }) => version);
    expect(numbers.sort((a, b) => a - b)).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
    const [last, ...rest] = await mine.assistants.getVersions(id, { limit: 100 });
    expect(rest).toHaveLength(8);
    const { updated_at: _, ...now } = await mine.assistants.get(id);
    expect({ ...now, created_at: last?.created_at }).toEqual(last);
    // No change was made on a state that another one had moved on from.
    expect(Object.keys(now.metadata ?? {})).toHaveLength(8);
  });

  it("have a limit", async () => {
    const { assistant_id: id } = await mine.assistants.create(told);
    await runtime.db.query({
      text: "update holdfast.assistants set last_version = $2 where assistant_id = $1",
      values: [id, versionsMax - 1],
    });
    expect((await mine.assistants.update(id, { name: "last" })).version).toBe(versionsMax);
    await expect(mine.assistants.update(id, { name: "more" })).rejects.toThrow(`409: Assistant ${id} has`);
    expect((await mine.assistants.get(id)).name).toBe("last");
  });
});

describe("a tenant", () => {
  it("sees its own assistants and those of the system, and no other", async () => {
    const team = crypto.randomUUID();
    const { assistant_id: id } = await mine.assistants.create({ ...told, name: "Mine", metadata: { team } });
    for (const attempt of [
      () => yours.assistants.get(id),
      () => yours.assistants.update(id, { name: "yours" }),
      () => yours.assistants.delete(id, { deleteThreads: true }),
      () => yours.assistants.getVersions(id),
      () => yours.assistants.setLatest(id, 1),
      () => yours.assistants.getGraph(id),
      () => yours.assistants.getSchemas(id),
      () => yours.assistants.getSubgraphs(id),
      () => yours.runs.wait(null, id, { input: {} }),
    ]) {
      await expect(attempt()).rejects.toThrow("HTTP 404: Assistant not found");
    }
    expect(await yours.assistants.search({ metadata: { team } })).toEqual([]);
    expect(await yours.assistants.count({ metadata: { team } })).toBe(0);
    expect(await mine.assistants.count({ metadata: { team } })).toBe(1);
    expect(await yours.assistants.count({ metadata: { created_by: "system" } })).toBe(5);
    expect((await yours.assistants.get("told")).assistant_id).toBe(systemAssistantId("told"));
  });

  it("does not find the assistant of a graph that langgraph.json has no more", async () => {
    const gone = { assistantId: systemAssistantId("gone"), graphId: "gone", config: {}, context: {} };
    await assistants.upsertSystemAssistant(runtime.db, gone);
    const system = { metadata: { created_by: "system" } };
    const found = (await mine.assistants.search({ ...system, limit: 100 })).map(({ graph_id }) => graph_id);
    expect(found.sort()).toEqual([...runtime.registry.graphIds].sort());
    expect(await mine.assistants.count(system)).toBe(found.length);
  });

  it("makes nothing that others see by calling it the system's", async () => {
    const metadata = { created_by: "system" };
    const { assistant_id: id } = await mine.assistants.create({ ...told, name: "forged", metadata });
    await expect(yours.assistants.get(id)).rejects.toThrow("404");
    expect(await yours.assistants.count({ name: "forged" })).toBe(0);
    expect(await mine.assistants.delete(id)).toEqual([id]);
  });
});

describe("a search", () => {
  it("filters, sorts, pages and selects", async () => {
    const team = crypto.randomUUID();
    for (const [name, graphId] of [
      ["Beta", "told"],
      ["alpha", "told"],
      ["Gamma", "other"],
    ] as const) {
      await mine.assistants.create({ graphId, name, metadata: { team } });
    }
    const names = async (query: Parameters<Client["assistants"]["search"]>[0]) =>
      (await mine.assistants.search({ metadata: { team }, ...query })).map(({ name }) => name);
    expect(await names({})).toEqual(["Gamma", "alpha", "Beta"]);
    expect(await names({ sortBy: "created_at", sortOrder: "asc" })).toEqual(["Beta", "alpha", "Gamma"]);
    expect(new Set(await names({ sortBy: "graph_id", sortOrder: "desc", limit: 2 }))).toEqual(
      new Set(["alpha", "Beta"]),
    );
    expect((await names({ sortBy: "graph_id", sortOrder: "asc" }))[0]).toBe("Gamma");
    expect(await names({ graphId: "other" })).toEqual(["Gamma"]);
    expect(await names({ name: "ALPH" })).toEqual(["alpha"]);
    expect(await names({ name: "%" })).toEqual([]);
    expect(await mine.assistants.count({ metadata: { team }, graphId: "told" })).toBe(2);
    const page = await send("POST", "/assistants/search", {
      metadata: { team },
      limit: 2,
      select: ["name"],
      sort_by: "created_at",
      sort_order: "asc",
    });
    expect(JSON.parse(page.text)).toEqual([
      { assistant_id: expect.any(String), name: "Beta" },
      { assistant_id: expect.any(String), name: "alpha" },
    ]);
    expect(page.headers.get("x-pagination-total")).toBe("3");
    expect(page.headers.get("x-pagination-next")).toBe("2");
  });
});
