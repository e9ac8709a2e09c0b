import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Database, openDatabase } from "../../src/db/pool.ts";
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
});
