import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { insertApiKey } from "../../src/db/queries/keys.ts";
import { newId, systemAssistantId } from "../../src/domain/ids.ts";
import { makeApiKey } from "../../src/http/auth.ts";
import { asCronOf, type CronScene, cronScene } from "../support/crons.ts";
import { openTestApp } from "../support/http.ts";

let s: CronScene;
beforeAll(async () => {
  s = await cronScene();
});
afterAll(() => s.close());

const send = async (method: string, path: string, body?: unknown) => {
  const init = body === undefined ? {} : { body: JSON.stringify(body) };
  const response = await fetch(s.url + path, { method, ...init });
  return { status: response.status, text: await response.text() };
};

describe("the SDK's client, unpatched", () => {
  it("creates a cron, changes it, and deletes it", async () => {
    const created = asCronOf(
      await s.client.crons.create("steps", {
        schedule: "30 8 * * 1-5",
        timezone: "Europe/Berlin",
        input: { log: ["in"] },
        config: { configurable: { a: 1 } },
        metadata: { team: "a" },
        multitaskStrategy: "enqueue",
        interruptBefore: ["b"],
        endTime: "2027-01-01T00:00:00Z",
        onRunCompleted: "keep",
      }),
    );
    expect(created).toEqual({
      cron_id: expect.any(String),
      assistant_id: systemAssistantId("steps"),
      thread_id: null,
      schedule: "30 8 * * 1-5",
      timezone: "Europe/Berlin",
      end_time: "2027-01-01T00:00:00.000Z",
      enabled: true,
      missed: "once",
      on_run_completed: "keep",
      payload: {
        assistant_id: systemAssistantId("steps"),
        input: { log: ["in"] },
        config: { configurable: { a: 1 } },
        multitask_strategy: "enqueue",
        interrupt_before: ["b"],
      },
      metadata: { team: "a" },
      user_id: "anonymous",
      next_run_date: "2026-05-04T06:30:00.000Z",
      last_run_id: null,
      last_error: null,
      created_at: "2026-05-01T09:30:00.000Z",
      updated_at: "2026-05-01T09:30:00.000Z",
    });
    const { cron_id } = created;
    const updated = await s.client.crons.update(cron_id, {
      schedule: "0 12 * * *",
      endTime: null,
      metadata: { more: 1 },
      interruptBefore: "*",
    });
    expect(updated).toMatchObject({
      schedule: "0 12 * * *",
      timezone: "Europe/Berlin",
      end_time: null,
      metadata: { team: "a", more: 1 },
      next_run_date: "2026-05-01T10:00:00.000Z",
    });
    expect(updated.payload).toMatchObject({ input: { log: ["in"] }, interrupt_before: "*" });
    await s.client.crons.delete(cron_id);
    await expect(s.client.crons.delete(cron_id)).rejects.toThrow(`Cron with ID ${cron_id} not found`);
    await expect(s.client.crons.update(cron_id, { enabled: false })).rejects.toThrow("404");
  });

  it("searches and counts by assistant, thread, state and metadata", async () => {
    const { thread_id } = await s.client.threads.create();
    const metadata = { search: true };
    const late = { schedule: "0 23 * * *", metadata };
    const one = await s.client.crons.createForThread(thread_id, "steps", {
      schedule: "0 10 * * *",
      metadata,
    });
    const two = await s.client.crons.create("steps", { ...late, enabled: false });
    const three = await s.client.crons.create("approval", late);
    const found = async (query: Parameters<typeof s.client.crons.search>[0]) =>
      (await s.client.crons.search({ metadata, ...query })).map(({ cron_id }) => cron_id);
    expect((await found({})).toSorted()).toEqual([one.cron_id, two.cron_id, three.cron_id].toSorted());
    expect(await found({ threadId: thread_id })).toEqual([one.cron_id]);
    expect(await found({ enabled: false })).toEqual([two.cron_id]);
    expect(await found({ assistantId: systemAssistantId("approval") })).toEqual([three.cron_id]);
    expect(await found({ assistantId: "approval" })).toEqual([three.cron_id]);
    expect(await found({ enabled: true, sortBy: "next_run_date", sortOrder: "asc" })).toEqual([
      one.cron_id,
      three.cron_id,
    ]);
    expect(await found({ limit: 1, offset: 3 })).toEqual([]);
    const [picked] = await s.client.crons.search({ metadata, threadId: thread_id, select: ["schedule"] });
    expect(picked).toEqual({ cron_id: one.cron_id, schedule: "0 10 * * *" });
    expect(await s.client.crons.count({ metadata })).toBe(3);
    expect(await s.client.crons.count({ metadata, threadId: thread_id })).toBe(1);
  });
});

describe("a cron that cannot be kept", () => {
  const good = { assistant_id: "steps", schedule: "0 * * * *" };
  it.each([
    ["schedule", { schedule: "every day" }],
    ["schedule", { schedule: "0 0 30 2 *" }],
    ["schedule", { schedule: undefined }],
    ["schedule", { schedule: "0 ".repeat(200) }],
    ["timezone", { timezone: "Mars/Olympus" }],
    ["timezone", { timezone: 3 }],
    ["end_time", { end_time: "2020-01-01T00:00:00Z" }],
    ["end_time", { end_time: "2030-01-01T00:00:00" }],
    ["enabled", { enabled: "yes" }],
    ["missed", { missed: "all" }],
    ["on_run_completed", { on_run_completed: "burn" }],
    ["multitask_strategy", { multitask_strategy: "fight" }],
    ["metadata", { metadata: [] }],
    ["config.configurable.__x", { config: { configurable: { __x: 1 } } }],
  ])("is refused by its field %s: %j", async (field, wrong) => {
    const before = await s.client.crons.count();
    const { status, text } = await send("POST", "/runs/crons", { ...good, ...wrong });
    expect(status).toBe(422);
    expect(JSON.parse(text).error.issues[0]).toMatchObject({ path: field.split(".") });
    expect(await s.client.crons.count()).toBe(before);
  });

  it("is refused for an assistant or a thread that is not there, or an id that is none", async () => {
    expect(await send("POST", "/runs/crons", { ...good, assistant_id: "nobody" })).toEqual({
      status: 404,
      text: "Assistant not found",
    });
    const id = newId();
    expect(await send("POST", `/threads/${id}/runs/crons`, good)).toEqual({
      status: 404,
      text: `Thread with ID ${id} not found`,
    });
    expect((await send("POST", "/threads/x/runs/crons", good)).status).toBe(400);
    expect((await send("PATCH", "/runs/crons/x", {})).status).toBe(400);
    expect((await send("DELETE", "/runs/crons/x")).status).toBe(400);
  });

  it("keeps what it was when a change of it is refused", async () => {
    const cron = await s.client.crons.create("steps", { schedule: "0 * * * *" });
    for (const wrong of [{ schedule: "x" }, { timezone: "x" }, { end_time: "2020-01-01T00:00:00Z" }]) {
      expect((await send("PATCH", `/runs/crons/${cron.cron_id}`, { ...wrong, input: 1 })).status).toBe(422);
    }
    expect(await s.rowOf(cron)).toMatchObject({ schedule: "0 * * * *", timezone: null, payload: {} });
  });
});

it("is said by /info", async () => {
  expect(JSON.parse((await send("GET", "/info")).text).flags.crons).toBe(true);
});

it("is nothing to another tenant", async () => {
  const t = await openTestApp();
  const keyOf = async (tenant: string) => {
    const { key, prefix, hash } = makeApiKey();
    await insertApiKey(t.db, { keyId: newId(), tenant, name: `of ${tenant}`, prefix, hash });
    return { "x-api-key": key };
  };
  const [mine, yours] = [await keyOf("mine"), await keyOf("yours")];
  const thread = await t.send("POST", "/threads", {}, mine);
  const on = `/threads/${thread.json.thread_id}/runs/crons`;
  const body = { assistant_id: "steps", schedule: "0 * * * *" };
  const cron = await t.send("POST", on, body, mine);
  expect(cron).toMatchObject({ status: 200, json: { user_id: "of mine" } });
  const path = `/runs/crons/${cron.json.cron_id}`;
  expect((await t.send("POST", on, body, yours)).status).toBe(404);
  expect((await t.send("PATCH", path, { enabled: false }, yours)).status).toBe(404);
  expect((await t.send("DELETE", path, undefined, yours)).status).toBe(404);
  expect((await t.send("POST", "/runs/crons/search", {}, yours)).json).toEqual([]);
  expect((await t.send("POST", "/runs/crons/count", {}, yours)).json).toBe(0);
  expect((await t.send("POST", "/runs/crons/count", {}, mine)).json).toBe(1);
  await t.close();
});
