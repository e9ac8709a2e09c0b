import { Client } from "@langchain/langgraph-sdk";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Database } from "../../src/db/pool.ts";
import { insertApiKey } from "../../src/db/queries/keys.ts";
import { newId } from "../../src/domain/ids.ts";
import { makeApiKey } from "../../src/http/auth.ts";
import { fireDueCrons, openRunsOfCronMax } from "../../src/queue/crons.ts";
import { type CronScene, cronScene } from "../support/crons.ts";
import { startRuntime } from "../support/runtime.ts";
import { until, untilEnded } from "../support/watch.ts";

let s: CronScene;
beforeEach(async () => {
  s = await cronScene();
});
afterEach(() => s.close());

const hourly = { schedule: "0 * * * *", input: { log: ["tick"] } };
const onlyRun = async (cron: { cron_id: string }) => {
  const runs = await s.runsOf(cron);
  expect(runs).toHaveLength(1);
  return runs[0] ?? expect.unreachable();
};

describe("a cron that is due", () => {
  it("starts one run, which names it, and moves on to its next tick", async () => {
    const cron = await s.client.crons.create("steps", { ...hourly, metadata: { team: "a" } });
    expect(await s.at("2026-05-01T09:59:59Z")).toEqual({ fired: 0, skipped: 0, failed: 0 });
    expect(await s.at("2026-05-01T10:00:00Z")).toEqual({ fired: 1, skipped: 0, failed: 0 });
    expect(await s.at("2026-05-01T10:00:01Z")).toEqual({ fired: 0, skipped: 0, failed: 0 });
    const run = await onlyRun(cron);
    expect(run).toMatchObject({
      status: "queued",
      temporary: true,
      tenant: "default",
      kwargs: { input: { log: ["tick"] } },
      metadata: { team: "a", cron_id: cron.cron_id, graph_id: "steps" },
    });
    expect(await s.rowOf(cron)).toMatchObject({
      next_run_date: new Date("2026-05-01T11:00:00Z"),
      last_run_id: run.run_id,
      last_error: null,
    });
  });

  it("is fired by a worker, on its thread, with the thread's state", async () => {
    const { thread_id } = await s.client.threads.create();
    const cron = await s.client.crons.createForThread(thread_id, "steps", hourly);
    s.runtime.clock.set(new Date("2026-05-01T10:00:00Z"));
    s.runtime.work({ pollMillis: 20 });
    const look = async () => (await s.runsOf(cron))[0];
    const run = await until(s.runtime.bus, look, "the cron to fire");
    expect(await untilEnded(s.runtime, run.run_id)).toMatchObject({ status: "success", thread_id });
    expect(await s.client.threads.get(thread_id)).toMatchObject({
      status: "idle",
      values: { log: ["tick", "a", "b", "c"] },
    });
    expect(await s.runtime.metrics.cronTicks.get()).toMatchObject({
      values: expect.arrayContaining([expect.objectContaining({ value: 1, labels: { outcome: "fired" } })]),
    });
  });

  it("fires for the tenant that made it", async () => {
    const { key, prefix, hash } = makeApiKey();
    await insertApiKey(s.runtime.db, { keyId: newId(), tenant: "acme", name: "ops", prefix, hash });
    const client = new Client({ apiUrl: s.url, apiKey: key });
    const cron = await client.crons.create("steps", { ...hourly, onRunCompleted: "keep" });
    await s.at("2026-05-01T10:00:00Z");
    const { thread_id, tenant } = await onlyRun(cron);
    expect(tenant).toBe("acme");
    expect(await client.runs.list(thread_id)).toHaveLength(1);
  });

  it("fires also where nobody here serves its graph: the run waits for a worker that does", async () => {
    const cron = await s.client.crons.create("steps", hourly);
    const assistantId = newId();
    await s.runtime.db.query({
      text: "insert into holdfast.assistants (assistant_id, graph_id, name) values ($1, 'elsewhere', 'x')",
      values: [assistantId],
    });
    await s.runtime.db.query({
      text: "update holdfast.crons set assistant_id = $2 where cron_id = $1",
      values: [cron.cron_id, assistantId],
    });
    expect(await s.at("2026-05-01T10:00:00Z")).toMatchObject({ fired: 1 });
    expect(await onlyRun(cron)).toMatchObject({ graph_id: "elsewhere", status: "queued" });
  });

  it("keeps the thread of each run where it is told to", async () => {
    const cron = await s.client.crons.create("steps", { ...hourly, onRunCompleted: "keep" });
    await s.at("2026-05-01T10:00:00Z");
    expect(await onlyRun(cron)).toMatchObject({ temporary: false });
  });
});

describe("many schedulers", () => {
  it("fire each tick once between them", async () => {
    const crons = [];
    const { thread_id } = await s.client.threads.create();
    for (let n = 0; n < 4; n += 1) {
      crons.push(await s.client.crons.create("steps", hourly));
      crons.push(await s.client.crons.createForThread(thread_id, "steps", hourly));
    }
    const other = await startRuntime({ url: s.runtime.url, listen: false });
    for (const runtime of [s.runtime, other]) runtime.clock.set(new Date("2026-05-01T10:00:00Z"));
    const passes = Array.from({ length: 12 }, (_, n) => fireDueCrons(n % 2 === 0 ? s.runtime : other));
    const fired = (await Promise.all(passes)).reduce((sum, pass) => sum + pass.fired, 0);
    await other.close();
    expect(fired).toBe(crons.length);
    for (const cron of crons) await onlyRun(cron);
  });

  it("lose no tick and fire none twice when one is killed before its commit", async () => {
    const cron = await s.client.crons.create("steps", hourly);
    s.runtime.clock.set(new Date("2026-05-01T10:00:00Z"));
    const { db } = s.runtime;
    const dying: Database = {
      ...db,
      transaction: (work) =>
        db.transaction(async (tx) => {
          await work(tx);
          await tx.query({ text: "select pg_terminate_backend(pg_backend_pid())", values: [] });
          return expect.unreachable("its session is gone");
        }),
    };
    await expect(fireDueCrons({ ...s.runtime, db: dying })).rejects.toThrow();
    expect(await s.runsOf(cron)).toEqual([]);
    expect(await s.rowOf(cron)).toMatchObject({ last_error: null, last_run_id: null });
    expect(await s.at("2026-05-01T10:00:05Z")).toMatchObject({ fired: 1 });
    await onlyRun(cron);
  });

  it("fire nothing again when one is killed after its commit", async () => {
    const cron = await s.client.crons.create("steps", hourly);
    s.runtime.clock.set(new Date("2026-05-01T10:00:00Z"));
    const { db } = s.runtime;
    const dying: Database = {
      ...db,
      transaction: async (work) => {
        await db.transaction(work);
        throw new Error("killed");
      },
    };
    expect(await fireDueCrons({ ...s.runtime, db: dying })).toEqual({ fired: 0, skipped: 0, failed: 0 });
    expect(await fireDueCrons(s.runtime)).toEqual({ fired: 0, skipped: 0, failed: 0 });
    const run = await onlyRun(cron);
    expect(await s.rowOf(cron)).toMatchObject({ last_error: null, last_run_id: run.run_id });
  });
});

describe("ticks that nobody was up for", () => {
  it("are made up for by one run, then the schedule goes on", async () => {
    const cron = await s.client.crons.create("steps", hourly);
    expect(await s.at("2026-05-04T15:20:00Z")).toMatchObject({ fired: 1 });
    expect(await s.at("2026-05-04T15:59:00Z")).toMatchObject({ fired: 0 });
    expect(await s.at("2026-05-04T16:00:00Z")).toMatchObject({ fired: 1 });
    expect(await s.runsOf(cron)).toHaveLength(2);
  });

  it("are left out where the cron says so", async () => {
    const made = await fetch(`${s.url}/runs/crons`, {
      method: "POST",
      body: JSON.stringify({ ...hourly, assistant_id: "steps", missed: "skip" }),
    });
    const cron = (await made.json()) as { cron_id: string };
    expect(await s.at("2026-05-04T15:20:00Z")).toEqual({ fired: 0, skipped: 1, failed: 0 });
    expect(await s.rowOf(cron)).toMatchObject({ next_run_date: new Date("2026-05-04T16:00:00Z") });
    expect(await s.at("2026-05-04T16:00:30Z")).toMatchObject({ fired: 1 });
  });

  it("are not made up for after the cron's end", async () => {
    const cron = await s.client.crons.create("steps", { ...hourly, endTime: "2026-05-01T12:00:00Z" });
    expect(await s.at("2026-05-01T14:00:00Z")).toEqual({ fired: 0, skipped: 1, failed: 0 });
    expect(await s.rowOf(cron)).toMatchObject({ next_run_date: null });
  });
});

describe("a cron ends, pauses and goes on", () => {
  it("with its last tick at its end", async () => {
    const cron = await s.client.crons.create("steps", { ...hourly, endTime: "2026-05-01T11:00:00Z" });
    for (const hour of ["10", "11", "12"]) await s.at(`2026-05-01T${hour}:00:00Z`);
    expect(await s.runsOf(cron)).toHaveLength(2);
    expect(await s.rowOf(cron)).toMatchObject({ next_run_date: null, enabled: true });
  });

  it("without catching up on what it missed while it was paused", async () => {
    const cron = await s.client.crons.create("steps", hourly);
    expect((await s.client.crons.update(cron.cron_id, { enabled: false })).next_run_date).toBeNull();
    expect(await s.at("2026-05-01T13:30:00Z")).toMatchObject({ fired: 0 });
    const resumed = await s.client.crons.update(cron.cron_id, { enabled: true });
    expect(resumed.next_run_date).toBe("2026-05-01T14:00:00.000Z");
    expect(await s.at("2026-05-01T13:31:00Z")).toMatchObject({ fired: 0 });
    expect(await s.at("2026-05-01T14:00:00Z")).toMatchObject({ fired: 1 });
  });

  it("with the input and the time it was given last", async () => {
    const cron = await s.client.crons.create("steps", hourly);
    const changed = await s.client.crons.update(cron.cron_id, { input: { log: ["new"] } });
    expect(changed.next_run_date).toBe("2026-05-01T10:00:00.000Z");
    await s.at("2026-05-01T10:00:00Z");
    expect(await onlyRun(cron)).toMatchObject({ kwargs: { input: { log: ["new"] } } });
    const moved = await s.client.crons.update(cron.cron_id, {
      schedule: "0 9 * * *",
      timezone: "Asia/Tokyo",
    });
    expect(moved.next_run_date).toBe("2026-05-02T00:00:00.000Z");
  });

  it("with exactly one run for a tick, however the change and the tick race", async () => {
    const cron = await s.client.crons.create("steps", hourly);
    for (const hour of [10, 11, 12, 13, 14]) {
      s.runtime.clock.set(new Date(`2026-05-01T${hour}:00:00Z`));
      const change = s.client.crons.update(cron.cron_id, { input: { log: [String(hour)] } });
      const passes = [fireDueCrons(s.runtime), fireDueCrons(s.runtime), change.then(() => undefined)];
      await Promise.all(passes);
      await fireDueCrons(s.runtime);
      expect(await s.runsOf(cron)).toHaveLength(hour - 9);
      const next_run_date = new Date(`2026-05-01T${hour + 1}:00:00Z`);
      expect(await s.rowOf(cron)).toMatchObject({
        next_run_date,
        payload: { input: { log: [String(hour)] } },
      });
    }
  });

  it("goes with its thread, also when that is deleted while it fires", async () => {
    for (let n = 0; n < 5; n += 1) {
      const { thread_id } = await s.client.threads.create();
      const cron = await s.client.crons.createForThread(thread_id, "steps", { schedule: `${n} 10 * * *` });
      s.runtime.clock.set(new Date(`2026-05-01T10:0${n}:00Z`));
      const [pass] = await Promise.all([fireDueCrons(s.runtime), s.client.threads.delete(thread_id)]);
      expect(pass.failed).toBe(0);
      expect(await s.runsOf(cron)).toEqual([]);
      await expect(s.rowOf(cron)).rejects.toThrow("no cron");
    }
  });
});

describe("a cron whose run cannot be made", () => {
  it("keeps the error, goes on to its next tick, and stands in nobody's way", async () => {
    const gone = await s.client.crons.create("steps", hourly);
    await s.runtime.db.query({
      text: "update holdfast.crons set assistant_id = gen_random_uuid() where cron_id = $1",
      values: [gone.cron_id],
    });
    const { thread_id } = await s.client.threads.create();
    const rejected = await s.client.crons.createForThread(thread_id, "steps", {
      ...hourly,
      multitaskStrategy: "reject",
    });
    const first = await s.client.runs.create(thread_id, "steps", { input: {} });
    const fine = await s.client.crons.create("steps", hourly);
    expect(await s.at("2026-05-01T10:00:00Z")).toEqual({ fired: 1, skipped: 0, failed: 2 });
    await onlyRun(fine);
    const next_run_date = new Date("2026-05-01T11:00:00Z");
    expect(await s.rowOf(gone)).toMatchObject({ last_error: "Assistant not found", next_run_date });
    expect(await s.rowOf(rejected)).toMatchObject({
      last_error: expect.stringContaining("already running a task"),
      next_run_date,
      last_run_id: null,
    });
    await s.client.runs.cancel(thread_id, first.run_id);
    expect(await s.at("2026-05-01T11:00:00Z")).toEqual({ fired: 2, skipped: 0, failed: 1 });
    expect(await s.rowOf(rejected)).toMatchObject({ last_error: null });
  });

  it("starts no more runs while ten of it are not finished", async () => {
    const cron = await s.client.crons.create("steps", { ...hourly, schedule: "* * * * *" });
    for (let minute = 0; minute < openRunsOfCronMax + 3; minute += 1) {
      await s.at(`2026-05-01T10:${String(minute).padStart(2, "0")}:00Z`);
    }
    expect(await s.runsOf(cron)).toHaveLength(openRunsOfCronMax);
    expect(await s.rowOf(cron)).toMatchObject({ last_error: expect.stringContaining("not finished") });
    await s.runtime.db.query({ text: "delete from holdfast.threads", values: [] });
    expect(await s.at("2026-05-01T10:30:00Z")).toMatchObject({ fired: 1 });
    expect(await s.rowOf(cron)).toMatchObject({ last_error: null });
  });
});
