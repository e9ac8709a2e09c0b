import { expect, it, onTestFinished } from "vitest";
import { RunStore } from "../../src/checkpoint/store.ts";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { LeaseLost } from "../../src/domain/errors.ts";
import { forever } from "../../src/domain/lifetimes.ts";
import { createTestDatabase } from "../support/database.ts";
import { makeRun } from "../support/factory.ts";
import { rowsOf } from "../support/scenario.ts";

async function leased() {
  const test = await createTestDatabase();
  const db = openDatabase({ url: test.url, connectionsMax: 4 });
  onTestFinished(async () => {
    await db.close();
    await test.drop();
  });
  const { run_id: runId, epoch, tenant } = await makeRun(db, "running");
  const queries: string[] = [];
  const storeAt = (held: number): RunStore =>
    new RunStore({
      db,
      tenant,
      writer: { runId, epoch: held },
      write: (_kind, statement) => statement(),
      index: null,
      lifetimes: forever,
      onQuery: () => queries.push("asked"),
    });
  return { db, runId, epoch, storeAt, queries };
}

/** As another worker's claim leaves the row. */
const takeOver = {
  text: "update holdfast.runs set epoch = epoch + 1 where run_id = $1 and status = 'running'",
};

it("a holder that lost its lease can neither put nor delete, the new one can", async () => {
  const { db, runId, epoch, storeAt } = await leased();
  await storeAt(epoch).put(["n"], "k", { by: "first" });
  await db.query({ ...takeOver, values: [runId] });
  await expect(storeAt(epoch).put(["n"], "k", { by: "zombie" })).rejects.toThrow(LeaseLost);
  await expect(storeAt(epoch).put(["n"], "other", { by: "zombie" })).rejects.toThrow(LeaseLost);
  await expect(storeAt(epoch).delete(["n"], "k")).rejects.toThrow(LeaseLost);
  expect((await storeAt(epoch + 1).search(["n"])).map(({ value }) => value)).toEqual([{ by: "first" }]);
  await storeAt(epoch + 1).put(["n"], "k", { by: "second" });
  expect((await storeAt(epoch).get(["n"], "k"))?.value).toEqual({ by: "second" });
});

async function untilBlocked(db: Database): Promise<void> {
  for (let look = 0; look < 1_000; look += 1) {
    const waiting = await rowsOf(
      { db },
      "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
    );
    if (waiting.length > 0) return;
  }
  throw new Error("nobody waits for a lock");
}

it("a put that meets a takeover in the middle of its commit is refused", async () => {
  const { db, runId, epoch, storeAt } = await leased();
  let put: Promise<unknown> = Promise.resolve();
  await db.transaction(async (tx) => {
    await tx.query({ ...takeOver, values: [runId] });
    put = storeAt(epoch)
      .put(["n"], "k", { by: "zombie" })
      .catch((error: unknown) => error);
    await untilBlocked(db);
  });
  expect(await put).toBeInstanceOf(LeaseLost);
  expect(await storeAt(epoch).get(["n"], "k")).toBeNull();
});

it("a batch does its operations in their order, and nothing when one of them is invalid", async () => {
  const { storeAt, epoch } = await leased();
  const store = storeAt(epoch);
  const place = { namespace: ["n"], key: "k" };
  const [before, , between, , after] = await store.batch([
    place,
    { ...place, value: { n: 1 } },
    place,
    { ...place, value: null },
    place,
  ]);
  expect([before, between, after]).toMatchObject([null, { value: { n: 1 } }, null]);
  const good = { ...place, value: { n: 2 } };
  await expect(store.batch([good, { ...good, namespace: ["a.b"] }])).rejects.toThrow("contain periods");
  await expect(store.batch([good, { ...good, value: { when: new Map() } }])).rejects.toThrow("when is a Map");
  await expect(store.batch([good, { namespacePrefix: [], limit: 10_001 }])).rejects.toThrow("limit");
  expect(await store.get(["n"], "k")).toBeNull();
});

it("a value is stored as it was when it was put", async () => {
  const { storeAt, epoch } = await leased();
  const value = { list: [1], when: new Date("2030-01-01T00:00:00Z") };
  const put = storeAt(epoch).put(["n"], "k", value);
  value.list.push(2);
  await put;
  const item = await storeAt(epoch).get(["n"], "k");
  expect(item?.value).toEqual({ list: [1], when: "2030-01-01T00:00:00.000Z" });
  expect(item?.createdAt).toBeInstanceOf(Date);
});

it("a search by meaning gives the newest items and says that it had no index", async () => {
  const { storeAt, epoch, queries } = await leased();
  for (const key of ["old", "new"]) await storeAt(epoch).put(["n"], key, {});
  const found = await storeAt(epoch).search(["n"], { query: "what?", limit: 1 });
  expect(found.map(({ key }) => key)).toEqual(["new"]);
  expect(queries).toEqual(["asked"]);
});
