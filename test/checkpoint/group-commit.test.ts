import { describe, expect, it, onTestFinished } from "vitest";
import { GroupCommit } from "../../src/checkpoint/group-commit.ts";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import type { GroupItem, StepRow } from "../../src/db/queries/checkpoint-groups.ts";
import { escalationsOfThread } from "../../src/db/queries/escalations.ts";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { getRun } from "../../src/db/queries/runs.ts";
import { DatabaseAway } from "../../src/domain/errors.ts";
import { newId } from "../../src/domain/ids.ts";
import type { Outcome } from "../../src/domain/outcome.ts";
import { createTestDatabase } from "../support/database.ts";
import { expireLeases, makeRun } from "../support/factory.ts";
import { signal } from "../support/scenario.ts";
import { settle } from "../support/settle.ts";

async function openedDatabase(prepared = true): Promise<Database> {
  const test = await createTestDatabase();
  const db = openDatabase({ url: test.url, connectionsMax: 4, prepared });
  onTestFinished(async () => {
    await db.close();
    await test.drop();
  });
  return db;
}

/** The database with an eye, and a hand, on the statements that carry groups. */
function watched(db: Database, before: (sizes: number[]) => Promise<void> = async () => {}) {
  const sizes: number[] = [];
  const seen: Database = {
    ...db,
    async query(statement) {
      sizes.push((statement.values[0] as unknown[]).length);
      await before(sizes);
      return db.query(statement);
    },
  };
  return { seen, sizes };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function writing(run: RunRow, text: string, more: Partial<GroupItem> = {}): GroupItem {
  const place = { ns: "", checkpointId: "c1", taskId: text };
  return {
    runId: run.run_id,
    threadId: run.thread_id,
    epoch: run.epoch,
    replace: false,
    puts: [],
    writes: [{ ...place, idx: 0, channel: "said", type: "json", blob: bytes(text) }],
    batch: { firstSeq: 0, attempt: 1, events: [], parts: [] },
    ...more,
  };
}

const step = (checkpointId: string, metadata = "{}"): StepRow => ({
  ns: "",
  checkpointId,
  parentId: null,
  checkpoint: JSON.stringify({ v: 4, id: checkpointId }),
  metadata,
  blobs: [],
  parts: [],
});

async function stored(db: Database, run: RunRow): Promise<string[]> {
  const { rows } = await db.query({
    text: `select convert_from(blob, 'utf8') as said from public.checkpoint_writes
            where thread_id = $1 order by task_id, idx`,
    values: [run.thread_id],
  });
  return rows.map(({ said }) => String(said));
}

describe("writes of several runs", () => {
  it("that come while a statement is under way travel in the next one", async () => {
    const db = await openedDatabase();
    const first = await makeRun(db, "running");
    const others = await Promise.all([
      makeRun(db, "running"),
      makeRun(db, "running"),
      makeRun(db, "running"),
    ]);
    const gate = signal();
    const underWay = signal();
    const { seen, sizes } = watched(db, async (all) => {
      underWay.give();
      if (all.length === 1) await gate.given;
    });
    const group = new GroupCommit(seen);
    const begun = group.write(writing(first, "a"));
    await underWay.given;
    const rest = others.map((run) => group.write(writing(run, "b")));
    gate.give();
    expect(await Promise.all([begun, ...rest])).toEqual([true, true, true, true]);
    expect(sizes).toEqual([1, 3]);
    for (const run of others) expect(await stored(db, run)).toEqual(["b"]);
  });

  it("of a process that works on many go in two statements at a time, those of a thread always in the same one", async () => {
    const db = await openedDatabase();
    const gate = signal();
    const bothUnderWay = signal();
    const { seen, sizes } = watched(db, async (all) => {
      if (all.length === 2) bothUnderWay.give();
      if (all.length <= 2) await gate.given;
    });
    const group = new GroupCommit(seen, { runsMax: 64 });
    const [even, odd] = await Promise.all(
      ["0", "1"].map((digit) => makeRun(db, "running", { threadId: newId().slice(0, -1) + digit })),
    );
    if (even === undefined || odd === undefined) throw new Error("there are no runs");
    const begun = [group.write(writing(even, "a")), group.write(writing(odd, "a"))];
    await bothUnderWay.given;
    const later = [group.write(writing(even, "b")), group.write(writing(even, "c"))];
    gate.give();
    expect(await Promise.all([...begun, ...later])).toEqual([true, true, true, true]);
    expect(sizes).toEqual([1, 1, 2]);
    expect(await stored(db, even)).toEqual(["a", "b", "c"]);
  });

  it("are refused one by one: a lost lease costs its neighbours nothing", async () => {
    const db = await openedDatabase();
    const lost = await makeRun(db, "running");
    const kept = await makeRun(db, "running");
    await db.query({
      text: "update holdfast.runs set epoch = epoch + 1 where run_id = $1",
      values: [lost.run_id],
    });
    const { seen, sizes } = watched(db);
    const group = new GroupCommit(seen);
    expect(await Promise.all([group.write(writing(lost, "a")), group.write(writing(kept, "b"))])).toEqual([
      false,
      true,
    ]);
    expect(sizes).toEqual([2]);
    expect([await stored(db, lost), await stored(db, kept)]).toEqual([[], ["b"]]);
  });

  it.each([
    ["metadata with a NUL", { puts: [step("c2", JSON.stringify({ note: "\u0000" }))] }],
    ["metadata that is no JSON", { puts: [step("c2", "{")] }],
    [
      "an event with a NUL",
      {
        batch: {
          firstSeq: 0,
          attempt: 1,
          events: [{ event: "values", data: "\u0000", step: null }],
          parts: [],
        },
      },
    ],
    ["a channel with a NUL", { writes: [{ ...writing({} as RunRow, "x").writes[0], channel: "\u0000" }] }],
  ] as [string, Partial<GroupItem>][])("of which one has %s fail for that one alone", async (_, bad) => {
    const db = await openedDatabase();
    const sloppy = await makeRun(db, "running");
    const neighbours = await Promise.all([makeRun(db, "running"), makeRun(db, "running")]);
    const [one, two] = neighbours as [RunRow, RunRow];
    const group = new GroupCommit(db);
    const ends = await Promise.allSettled([
      group.write(writing(one, "a")),
      group.write(writing(sloppy, "bad", bad)),
      group.write(writing(two, "b")),
    ]);
    expect(ends.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(ends[1]).not.toMatchObject({ reason: { name: "DatabaseAway" } });
    expect(await stored(db, sloppy)).toEqual([]);
    expect([await stored(db, one), await stored(db, two)]).toEqual([["a"], ["b"]]);
  });

  it("all hear of a database that is away, and may be sent again", async () => {
    const db = await openedDatabase();
    const first = await makeRun(db, "running");
    const second = await makeRun(db, "running");
    const { seen, sizes } = watched(db, async (all) => {
      if (all.length === 1) throw new DatabaseAway("Postgres: gone");
    });
    const group = new GroupCommit(seen);
    const send = () =>
      Promise.allSettled([group.write(writing(first, "a")), group.write(writing(second, "b"))]);
    for (const end of await send()) expect(end).toMatchObject({ reason: { name: "DatabaseAway" } });
    for (const end of await send()) expect(end).toMatchObject({ value: true });
    expect(sizes).toEqual([2, 2]);
  });

  it("travel 128 at most in one statement", async () => {
    const db = await openedDatabase();
    const run = await makeRun(db, "running");
    const { seen, sizes } = watched(db);
    const group = new GroupCommit(seen);
    const texts = Array.from({ length: 130 }, (_, n) => `t${String(n).padStart(3, "0")}`);
    await Promise.all(texts.map((text) => group.write(writing(run, text))));
    expect(sizes).toEqual([128, 2]);
    expect(await stored(db, run)).toEqual(texts);
  });
});

describe("writes of one run", () => {
  const replacing = (run: RunRow, text: string): GroupItem => {
    const item = writing(run, text, { replace: true });
    return { ...item, writes: item.writes.map((write) => ({ ...write, taskId: "task" })) };
  };
  const keeping = (run: RunRow, text: string): GroupItem => ({ ...replacing(run, text), replace: false });

  it("keep their order: the last one that replaces is what stays", async () => {
    const db = await openedDatabase();
    const run = await makeRun(db, "running");
    const group = new GroupCommit(db);
    await Promise.all([
      group.write(keeping(run, "kept")),
      group.write(replacing(run, "first")),
      group.write(replacing(run, "second")),
      group.write(keeping(run, "too late")),
    ]);
    expect(await stored(db, run)).toEqual(["second"]);
  });

  it("are the same when they are repeated: events are counted once, rows are there once", async () => {
    const db = await openedDatabase();
    const run = await makeRun(db, "running");
    const group = new GroupCommit(db);
    const events = [{ event: "values", data: "{}", step: null }];
    const item = writing(run, "a", {
      puts: [step("c2")],
      batch: { firstSeq: 0, attempt: 1, events, parts: [] },
    });
    expect(await group.write(item)).toBe(true);
    expect(await group.write(item)).toBe(true);
    const { rows } = await db.query({
      text: `select (select count(*)::int from holdfast.run_events where run_id = $1) as events,
                    (select count(*)::int from public.checkpoints where thread_id = $2) as checkpoints`,
      values: [run.run_id, run.thread_id],
    });
    expect(rows).toEqual([{ events: 1, checkpoints: 1 }]);
    expect(await stored(db, run)).toEqual(["a"]);
  });

  it("are taken while its lease has run out but nobody else has it", async () => {
    const db = await openedDatabase();
    const run = await makeRun(db, "running");
    await expireLeases(db);
    expect(await new GroupCommit(db).write(writing(run, "a"))).toBe(true);
  });
});

describe("prepared statements", () => {
  const preparedIn = async (db: Database): Promise<unknown[]> => {
    const names = { text: "select name from pg_prepared_statements order by name", values: [] };
    return db.transaction(async (tx) => (await tx.query(names)).rows.map(({ name }) => name));
  };

  it.each([true, false])("are kept by a connection when they are on (%s)", async (prepared) => {
    const test = await createTestDatabase();
    const db = openDatabase({ url: test.url, connectionsMax: 1, prepared });
    onTestFinished(async () => {
      await db.close();
      await test.drop();
    });
    const run = await makeRun(db, "running");
    const group = new GroupCommit(db);
    expect(await group.write(writing(run, "a"))).toBe(true);
    if (prepared) expect(await preparedIn(db)).toContain("checkpoint.group");
    else expect(await preparedIn(db)).toEqual([]);
  });

  it("outlive a migration that gives their tables a new column", async () => {
    const db = await openedDatabase();
    const run = await makeRun(db, "running");
    const group = new GroupCommit(db);
    await group.write(writing(run, "a"));
    for (const table of [
      "holdfast.runs",
      "holdfast.run_events",
      "public.checkpoint_writes",
      "public.checkpoints",
    ])
      await db.query({ text: `alter table ${table} add column later text default 'x'`, values: [] });
    for (const text of ["b", "c", "d", "e", "f"]) expect(await group.write(writing(run, text))).toBe(true);
    expect(await stored(db, run)).toEqual(["a", "b", "c", "d", "e", "f"]);
  });

  it("of a run's whole way outlive one as well", async () => {
    const test = await createTestDatabase();
    const db = openDatabase({ url: test.url, connectionsMax: 1 });
    onTestFinished(async () => {
      await db.close();
      await test.drop();
    });
    const view = { values: {}, interrupts: {}, parked: false };
    const wholeWay = async (): Promise<string> => {
      const run = await makeRun(db, "running");
      const outcome: Outcome = { kind: "success", view, questions: [], graphVersion: "1" };
      await settle(db, { run, outcome, finalEvents: [{ event: "values", data: "{}" }] });
      const { run_id: runId, thread_id: threadId, tenant } = run;
      await escalationsOfThread(db, { threadId });
      return (await getRun(db, { runId, threadId, tenant }))[0]?.status ?? "gone";
    };
    expect(await wholeWay()).toBe("success");
    for (const table of ["holdfast.runs", "holdfast.threads", "holdfast.escalations"])
      await db.query({ text: `alter table ${table} add column later text default 'x'`, values: [] });
    expect(await wholeWay()).toBe("success");
  });
});
