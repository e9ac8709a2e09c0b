import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import { DatabaseAway } from "../../src/domain/errors.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

const text = (sql: string, ...values: unknown[]) => ({ text: sql, values });

describe.each([true, false])("a transaction, with prepared statements %s", (prepared) => {
  let test: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    test = await createTestDatabase();
    db = openDatabase({ url: test.url, connectionsMax: 2, prepared });
    await db.query(text("create table notes (n int primary key)"));
  });
  afterAll(async () => {
    await db.close();
    await test.drop();
  });
  const notes = async (): Promise<unknown[]> =>
    (await db.query(text("select n from notes order by n"))).rows.map(({ n }) => n);

  it("runs statements in the order in which they were asked for, each seeing those before it", async () => {
    const seen = await db.transaction(async (tx) => {
      const answers = await Promise.all([
        tx.query(text("insert into notes values ($1)", 1)),
        tx.query(text("select count(*)::int as n from notes")),
        tx.query(text("insert into notes values ($1)", 2)),
        tx.query(text("select count(*)::int as n from notes")),
      ]);
      return [answers[1]?.rows[0]?.n, answers[3]?.rows[0]?.n];
    });
    expect(seen).toEqual([1, 2]);
    expect(await notes()).toEqual([1, 2]);
  });

  it("writes nothing when one of several statements under way fails, and tells which", async () => {
    const failing = db.transaction((tx) =>
      Promise.all([
        tx.query(text("insert into notes values ($1)", 3)),
        tx.query(text("insert into notes values ($1)", 1)),
        tx.query(text("insert into notes values ($1)", 4)),
      ]),
    );
    await expect(failing).rejects.toMatchObject({ code: "23505" });
    expect(await notes()).toEqual([1, 2]);
  });

  it("writes nothing when its work throws while statements are under way", async () => {
    const failing = db.transaction(async (tx) => {
      void tx.query(text("insert into notes values ($1)", 5)).catch(() => undefined);
      throw new Error("changed its mind");
    });
    await expect(failing).rejects.toThrow("changed its mind");
    expect(await notes()).toEqual([1, 2]);
  });

  it("writes nothing behind a failed statement, however many were asked for with it", async () => {
    const failing = db.transaction((tx) =>
      Promise.all([1, 6, 7, 8, 9].map((n) => tx.query(text("insert into notes values ($1)", n)))),
    );
    await expect(failing).rejects.toMatchObject({ code: "23505" });
    // Whatever was still on its way on that connection has arrived when another one has had its turns.
    for (let turn = 0; turn < 10; turn += 1) await notes();
    expect(await notes()).toEqual([1, 2]);
  });

  it("refuses what a part of its work asks for when another part has failed", async () => {
    let late: Promise<unknown> = Promise.resolve();
    const failing = db.transaction((tx) => {
      late = (async () => {
        await tx.query(text("select 1"));
        await tx.query(text("select 2"));
        await tx.query(text("insert into notes values ($1)", 10));
      })();
      late.catch(() => undefined);
      return Promise.reject(new Error("changed its mind"));
    });
    await expect(failing).rejects.toThrow("changed its mind");
    await expect(late).rejects.toThrow("transaction is over");
    expect(await notes()).toEqual([1, 2]);
  });

  it("refuses what is asked for after its commit", async () => {
    const tx = await db.transaction((client) => Promise.resolve(client));
    await expect(tx.query(text("insert into notes values ($1)", 11))).rejects.toThrow("transaction is over");
    expect(await notes()).toEqual([1, 2]);
  });

  it("is no success when the failure of a statement was overlooked: Postgres has rolled it back", async () => {
    const failing = db.transaction(async (tx) => {
      await tx.query(text("insert into notes values ($1)", 12));
      await tx.query(text("insert into notes values ($1)", 1)).catch(() => undefined);
    });
    await expect(failing).rejects.toThrow(/rolled back/);
    expect(await notes()).toEqual([1, 2]);
  });

  it("fails when Postgres ends its session, though its work waits for something that never comes", async () => {
    const hanging = db.transaction(async (tx) => {
      await tx.query(text("set local idle_in_transaction_session_timeout = 50"));
      await tx.query(text("insert into notes values ($1)", 13));
      await new Promise(() => undefined);
    });
    await expect(hanging).rejects.toThrow(DatabaseAway);
    expect(await notes()).toEqual([1, 2]);
  });

  it("leaves its connection fit for the next one when it fails", async () => {
    const backend = async (): Promise<unknown> =>
      db.transaction(async (tx) => (await tx.query(text("select pg_backend_pid() as pid"))).rows[0]?.pid);
    const before = await backend();
    await expect(db.transaction((tx) => tx.query(text("select 1 / $1::int", 0)))).rejects.toMatchObject({
      code: "22012",
    });
    expect(await backend()).toBe(before);
  });
});
