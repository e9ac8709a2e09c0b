import { describe, expect, it } from "vitest";
import type { Database } from "../../src/db/pool.ts";
import { insertRunsOnNewThreads } from "../../src/db/queries/create-group.ts";
import { DatabaseAway, NotFound } from "../../src/domain/errors.ts";
import { newId } from "../../src/domain/ids.ts";
import { createRun } from "../../src/queue/create.ts";
import { GroupCreate } from "../../src/queue/group-create.ts";
import type { CreateRun } from "../../src/queue/request.ts";
import { openForFile } from "../support/database.ts";
import { makeRun, makeThread, runById, runRequest } from "../support/factory.ts";
import { rowsOf, signal } from "../support/scenario.ts";

let db: Database;
openForFile((opened) => {
  db = opened;
});

/** What many are asked for at once goes in the second statement, behind the first of them. */
async function createBehind(db: Database, requests: CreateRun[]) {
  const [underWay, gate] = [signal(), signal()];
  const sizes: number[] = [];
  const seen: Database = {
    ...db,
    async query(statement) {
      sizes.push((statement.values[0] as unknown[]).length);
      underWay.give();
      if (sizes.length === 1) await gate.given;
      return db.query(statement);
    },
  };
  const creates = new GroupCreate(seen);
  const creating = requests.slice(0, 1).map((one) => creates.create(one));
  await underWay.given;
  creating.push(...requests.slice(1).map((one) => creates.create(one)));
  await new Promise(setImmediate);
  gate.give();
  const ends = await Promise.allSettled(creating);
  return { ends: ends.map((end) => (end.status === "rejected" ? end.reason : end.value.run)), sizes };
}

const requests = (count: number): CreateRun[] => Array.from({ length: count }, () => runRequest());

/** The rows of a run and its thread, without what differs from one to the next. */
async function storedOf(db: Database, threadId: string): Promise<unknown[]> {
  const stripped = "- 'run_id' - 'thread_id' - 'seq' - 'created_at' - 'updated_at' - 'state_updated_at'";
  return rowsOf(
    { db },
    `select to_jsonb(t) ${stripped} as thread, to_jsonb(r) ${stripped} - 'available_at' as run,
            round(extract(epoch from r.available_at - r.created_at)) as after
       from holdfast.threads t join holdfast.runs r using (thread_id) where thread_id = $1`,
    threadId,
  );
}

describe("runs that bring a thread of their own", () => {
  it("are accepted in one statement when they are asked for while another one is", async () => {
    const asked = requests(5);
    const { ends, sizes } = await createBehind(db, asked);
    expect(sizes).toEqual([1, 4]);
    expect(ends).toEqual(
      asked.map(({ threadId }) => expect.objectContaining({ thread_id: threadId, status: "queued" })),
    );
  });

  it.each([
    ["that is stateless", { temporary: true, threadTtl: { minutes: 5, strategy: "delete" } }],
    ["that waits for its time", { afterSeconds: 60 }],
    ["whose thread goes when it is idle", { threadTtl: { minutes: 5, strategy: "delete" } }],
    ["whose thread keeps its latest state", { threadTtl: { minutes: 7, strategy: "keep_latest" } }],
    ["with a name for its thread", { threadKey: "customer-1" }],
    ["with metadata", { metadata: { a: [1, '"', "\\", "{"] }, threadMetadata: { b: "it's" } }],
    ["with a config", { threadConfig: { configurable: { x: "\n" } }, effectsPolicy: "reuse" }],
    ["with another strategy", { multitaskStrategy: "rollback", attemptsMax: 2 }],
  ] as [string, Partial<CreateRun>][])(
    "one %s leaves the same rows as when it goes alone",
    async (_, more) => {
      const [grouped, alone] = [runRequest(more), runRequest(more)];
      await new GroupCreate(db).create(grouped);
      await createRun(db, alone);
      const stored = await storedOf(db, grouped.threadId);
      expect(stored).toHaveLength(1);
      expect(stored).toEqual(await storedOf(db, alone.threadId));
    },
  );

  it("of which one holds what Postgres refuses fail for that one alone", async () => {
    const asked = requests(4);
    asked[2] = runRequest({ metadata: { note: "\u0000" } });
    const { ends } = await createBehind(db, asked);
    const ok = expect.objectContaining({ status: "queued" });
    expect(ends).toEqual([ok, ok, expect.objectContaining({ code: "22P05" }), ok]);
    const made = "select 1 from holdfast.threads where thread_id = any($1::uuid[])";
    const ids = asked.map(({ threadId }) => threadId);
    expect(await rowsOf({ db }, made, ids)).toHaveLength(3);
  });

  it("of which two are for the same new thread stand behind each other", async () => {
    const [first, second, third] = requests(3) as [CreateRun, CreateRun, CreateRun];
    const { ends, sizes } = await createBehind(db, [first, second, { ...third, threadId: second.threadId }]);
    expect(ends).toEqual(
      ["queued", "queued", "blocked"].map((status) => expect.objectContaining({ status })),
    );
    expect(sizes).toEqual([1, 1, 1]);
  });

  it("lead to no deadlock when two processes are asked for the same threads, in whatever order", async () => {
    for (let round = 0; round < 5; round += 1) {
      const asked = requests(60).map((request) => ({
        ...request,
        kwargs: "{}",
        metadata: "{}",
        threadMetadata: "{}",
        threadConfig: null,
      }));
      const group = (some: typeof asked) =>
        insertRunsOnNewThreads(
          db,
          some.map((request) => ({ ...request, runId: newId() })),
        );
      const made = await Promise.all([group(asked), group(asked.toReversed())]);
      expect(made.map((runs) => runs.length).sort()).toEqual([0, 60]);
    }
  });

  it("all are told when the database is away", async () => {
    const away: Database = { ...db, query: () => Promise.reject(new DatabaseAway("gone")) };
    const creates = new GroupCreate(away);
    const ends = await Promise.allSettled(requests(3).map((one) => creates.create(one)));
    const told = { status: "rejected", reason: expect.any(DatabaseAway) };
    expect(ends).toEqual([told, told, told]);
  });
});

describe("a run for a thread that somebody else has made", () => {
  it("stands behind the run that is open there, or replaces it, as its strategy says", async () => {
    const { thread_id: threadId, run_id } = await makeRun(db, "queued");
    const creates = new GroupCreate(db);
    const { run } = await creates.create(runRequest({ threadId }));
    expect(run.status).toBe("blocked");
    await creates.create(runRequest({ threadId, multitaskStrategy: "interrupt" }));
    expect((await runById(db, run_id)).status).toBe("interrupted");
  });

  it("is refused when it is another tenant's", async () => {
    const { thread_id: threadId } = await makeThread(db);
    const stranger = new GroupCreate(db).create(runRequest({ threadId, tenant: "other" }));
    await expect(stranger).rejects.toThrow(NotFound);
  });

  it("is refused where the caller may not see it", async () => {
    const { thread_id: threadId } = await makeThread(db);
    const stranger = new GroupCreate(db).create(runRequest({ threadId, access: { owner: "me" } }));
    await expect(stranger).rejects.toThrow(NotFound);
  });
});

describe("a request that is sent twice under one Idempotency-Key", () => {
  it("is one run", async () => {
    const creates = new GroupCreate(db);
    const request = runRequest({ idempotencyKey: newId() });
    const first = await creates.create(request);
    expect(await creates.create(request)).toMatchObject({
      run: { run_id: first.run.run_id },
      replayed: true,
    });
  });
});
