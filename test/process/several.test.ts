import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Client } from "@langchain/langgraph-sdk";
import { describe, expect, it } from "vitest";
import { expireLeases, runById } from "../support/factory.ts";
import type { HoldfastProcess } from "../support/holdfast-process.ts";
import { processesOfEachTest } from "../support/processes.ts";
import { allChannels, type Frame, readEvents, sendCommand } from "../support/protocol.ts";

const processes = processesOfEachTest({ LEASE_SECONDS: "1", REAP_MILLIS: "100" });

interface Seen {
  id?: string;
  event: string;
  data: unknown;
}

/** Reads frames from one API process until `enough` says so; the connection is then dropped in mid-stream. */
async function read(
  api: HoldfastProcess,
  path: string,
  from: string,
  enough: (seen: Seen[]) => boolean,
): Promise<Seen[]> {
  const cut = new AbortController();
  const response = await fetch(`${api.url}${path}`, {
    headers: { "last-event-id": from },
    signal: cut.signal,
  });
  const seen: Seen[] = [];
  let text = "";
  try {
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString("utf8");
      const frames = text.replace(/^:.*\n/gm, "").split("\n\n");
      text = frames.pop() ?? "";
      for (const frame of frames) seen.push(parsed(frame));
      if (enough(seen)) break;
    }
  } finally {
    cut.abort();
  }
  return seen;
}

function parsed(frame: string): Seen {
  const lines = Object.fromEntries(
    frame.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
  );
  return { id: String(lines.id), event: String(lines.event), data: JSON.parse(String(lines.data)) };
}

describe("two API processes and two workers", () => {
  it("give one stream without a gap to a client that changes processes while the worker is killed", async () => {
    const [one, two] = [await processes.start({ ROLES: "http" }), await processes.start({ ROLES: "http" })];
    const doomed = await processes.start({ ROLES: "worker", WORKER_ID: "doomed" });
    const client = new Client({ apiUrl: one.url });
    const { thread_id } = await client.threads.create();
    const { run_id } = await client.runs.create(thread_id, "steps", {
      input: { log: ["in"], wait: 400 },
      streamMode: ["values", "updates"],
    });
    const path = `/threads/${thread_id}/runs/${run_id}/stream`;
    const first = await read(one, path, "-1", (seen) => seen.some(({ event }) => event === "updates"));
    doomed.kill("SIGKILL");
    await doomed.exited;
    await expireLeases(processes.db);
    await processes.start({ ROLES: "worker", WORKER_ID: "heir" });
    const rest = await read(two, path, first.at(-1)?.id ?? "", () => false);
    const whole = await read(one, path, "-1", () => false);
    expect([...first, ...rest]).toEqual(whole);
    expect(whole.map(({ id }) => Number(id))).toEqual(whole.map((_, n) => n));
    expect(whole.filter(({ event }) => event === "updates").map(({ data }) => data)).toEqual([
      { a: { log: ["a"] } },
      { b: { log: ["b"] } },
      { c: { log: ["c"] } },
    ]);
    expect(whole.filter(({ event }) => event === "metadata").map(({ data }) => data)).toEqual([
      { run_id, attempt: 1 },
      { run_id, attempt: 2 },
    ]);
    expect(whole.at(-1)?.data).toMatchObject({ log: ["in", "a", "b", "c"] });
  });

  it("give one stream of the newer protocol to a client that changes processes while the worker is killed", async () => {
    const [one, two] = [await processes.start({ ROLES: "http" }), await processes.start({ ROLES: "http" })];
    const doomed = await processes.start({ ROLES: "worker", WORKER_ID: "doomed" });
    const threadId = randomUUID();
    const params = { assistant_id: "steps", input: { log: ["in"], wait: 400 } };
    expect(await sendCommand(one.url, threadId, { method: "run.start", params })).toMatchObject({
      type: "success",
    });
    const updated = (frames: Frame[]): boolean => frames.some(({ method }) => method === "updates");
    const first = await readEvents(one.url, threadId, { until: updated });
    doomed.kill("SIGKILL");
    await doomed.exited;
    await expireLeases(processes.db);
    await processes.start({ ROLES: "worker", WORKER_ID: "heir" });
    const filter = { channels: allChannels };
    const rest = await readEvents(two.url, threadId, { filter: { ...filter, since: first.at(-1)?.seq } });
    const whole = await readEvents(one.url, threadId, { filter: { ...filter, since: 0 } });
    expect([...first, ...rest]).toEqual(whole);
    const dataOf = (method: string): unknown[] =>
      whole.filter((frame) => frame.method === method).map((frame) => frame.params.data);
    expect(dataOf("updates")).toMatchObject([{ log: ["a"] }, { log: ["b"] }, { log: ["c"] }]);
    expect(dataOf("lifecycle")).toMatchObject([
      { event: "running" },
      { event: "running" },
      { event: "completed" },
    ]);
    expect(dataOf("values").at(-1)).toMatchObject({ log: ["in", "a", "b", "c"] });
  });
});

describe("kill -9 of the only process", () => {
  it("leaves a run, one that waits behind it and a thread that takes more to the next process", async () => {
    const first = await processes.start({ LEASE_SECONDS: "5" });
    const { runs, threads } = new Client({ apiUrl: first.url });
    const { thread_id } = await threads.create();
    const { run_id } = await runs.create(thread_id, "steps", { input: { wait: 600 } });
    await expect
      .poll(async () => (await runById(processes.db, run_id)).status, { timeout: 20_000 })
      .toBe("running");
    const behind = await runs.create(thread_id, "steps", { input: { wait: 0 } });
    first.kill("SIGKILL");
    await first.exited;
    await expireLeases(processes.db);
    const next = new Client({ apiUrl: (await processes.start({ LEASE_SECONDS: "5" })).url });
    await next.runs.join(thread_id, behind.run_id);
    const ended = await next.runs.list(thread_id);
    expect(ended.map(({ run_id: id, status }) => [id, status])).toEqual([
      [behind.run_id, "success"],
      [run_id, "success"],
    ]);
    expect((await next.threads.get(thread_id)).status).toBe("idle");
    const more = await next.runs.wait(thread_id, "steps", { input: {}, multitaskStrategy: "reject" });
    expect(more).toMatchObject({ log: ["a", "b", "c", "a", "b", "c", "a", "b", "c"] });
  });
});

describe("SIGTERM", () => {
  it("gives the runs of a process back at their next step, uncharged, and ends it with code 0", async () => {
    const leaving = await processes.start({ LEASE_SECONDS: "30" });
    const client = new Client({ apiUrl: leaving.url });
    const { thread_id } = await client.threads.create();
    const { run_id } = await client.runs.create(thread_id, "steps", { input: { wait: 700 } });
    await expect
      .poll(async () => (await runById(processes.db, run_id)).status, { timeout: 20_000 })
      .toBe("running");
    leaving.kill("SIGTERM");
    expect(await leaving.exited).toEqual({ code: 0, signal: null });
    expect(await runById(processes.db, run_id)).toMatchObject({
      status: "queued",
      attempt: 0,
      crashes: 0,
      failures: 0,
    });
    const next = await processes.start({});
    const joined = await new Client({ apiUrl: next.url }).runs.join(thread_id, run_id);
    expect(joined).toMatchObject({ log: ["a", "b", "c"] });
  });
});

describe("/metrics", () => {
  it("counts tasks, latency, tokens, confidence and cost of an agent under their fixed names", async () => {
    const server = await processes.start({ LANGGRAPH_JSON: "langgraph.json", LEASE_SECONDS: "30" });
    const client = new Client({ apiUrl: server.url });
    const source = await readFile("samples/purchase-agreements/01-form-plain.txt", "utf8");
    const document = { source_id: "01-form-plain.txt", text: source };
    await client.runs.wait(null, "contract_review", {
      input: { document, business_date: "2026-01-01", time_zone: "America/New_York" },
    });
    const text = await (await fetch(`${server.url}/metrics`)).text();
    expect(text).toMatch(/agent_tasks_total\{agent_name="contract_review",status="success"\} 1/);
    expect(text).toMatch(/agent_latency_seconds_bucket\{le="0.5",agent_name="contract_review"\} \d/);
    expect(text).toMatch(/agent_tokens_total\{agent_name="contract_review",model="stand-in"\} [1-9]\d+/);
    expect(text).toMatch(/agent_confidence_score\{agent_name="contract_review"\} (0\.\d+|1)/);
    // The stand-in costs nothing and has no price; its tokens are counted as unpriced.
    expect(text).toMatch(/# TYPE agent_cost_usd_total counter/);
    expect(text).toMatch(/holdfast_unpriced_tokens_total\{model="stand-in"\} [1-9]/);
  });
});
