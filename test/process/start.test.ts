import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDatabase } from "../../src/db/pool.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { startHoldfast } from "../support/holdfast-process.ts";

let database: TestDatabase;
let folder: string;
beforeEach(async () => {
  database = await createTestDatabase();
  folder = await mkdtemp(path.join(tmpdir(), "holdfast-start-"));
});
afterEach(async () => {
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

async function withProject(graphs: object): Promise<string> {
  const file = path.join(folder, "langgraph.json");
  await writeFile(file, JSON.stringify({ graphs }));
  await writeFile(path.join(folder, "g.ts"), "export const other = 1;\n");
  return file;
}

describe("a start", () => {
  it("names every fault of the environment at once", async () => {
    const wrong = { DATABASE_URL: "mysql://x", PORT: "99999", LEASE_SECONDS: "soon", ROLES: "http,cook" };
    const start = startHoldfast(wrong);
    await expect(start).rejects.toThrow(/DATABASE_URL[\s\S]*|PORT/);
    await expect(start).rejects.toThrow(/PORT/);
    await expect(start).rejects.toThrow(/LEASE_SECONDS/);
    await expect(start).rejects.toThrow(/ROLES/);
  });

  it.each([
    [
      "a file that is not there",
      { g: "./nowhere.ts:graph" },
      /graph g names \.\/nowhere\.ts, but there is no such file/,
    ],
    ["an export that is not there", { g: "./g.ts:graph" }, /g\.ts exports other; "graph" must be a graph/],
    ["an export that is no graph", { g: "./g.ts:other" }, /"other" must be a graph/],
    ["a file without a default export", { g: "./g.ts" }, /g\.ts exports other; "default" must be a graph/],
  ])("refuses a langgraph.json that names %s", async (_, graphs, message) => {
    const LANGGRAPH_JSON = await withProject(graphs);
    await expect(startHoldfast({ DATABASE_URL: database.url, LANGGRAPH_JSON })).rejects.toThrow(message);
  });

  it("listens elsewhere than on this machine only with an API key", async () => {
    const start = startHoldfast({ DATABASE_URL: database.url, HOST: "0.0.0.0" });
    await expect(start).rejects.toThrow(/there is no API key/);
  });

  it("is refused by an older program when the schema has a breaking migration it does not know", async () => {
    const db = openDatabase({ url: database.url, connectionsMax: 1 });
    await db.query({
      text: "insert into holdfast.migrations (name, breaking) values ('9999_future.sql', true)",
      values: [],
    });
    await db.close();
    await expect(startHoldfast({ DATABASE_URL: database.url })).rejects.toThrow(/9999_future/);
  });
});

describe("a program whose event loop is blocked for too long", () => {
  it("ends itself, and its run is finished elsewhere", async () => {
    const blocked = await startHoldfast({
      DATABASE_URL: database.url,
      BLOCK_SECONDS: "5",
      LEASE_SECONDS: "2",
    });
    const response = await fetch(`${blocked.url}/runs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ assistant_id: "blocking", input: { flag: path.join(folder, "flag") } }),
    });
    const { run_id: runId, thread_id: threadId } = (await response.json()) as {
      run_id: string;
      thread_id: string;
    };
    expect(await blocked.exited).toEqual({ code: null, signal: "SIGKILL" });
    const next = await startHoldfast({ DATABASE_URL: database.url, LEASE_SECONDS: "2" });
    const joined = await fetch(`${next.url}/threads/${threadId}/runs/${runId}/join`);
    expect(await joined.json()).toMatchObject({ log: ["not again"] });
    await next.end();
  });
});
