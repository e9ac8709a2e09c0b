import { Client } from "@langchain/langgraph-sdk";
import { describe, expect, it } from "vitest";
import { runById } from "../support/factory.ts";
import { type HoldfastProcess, startHoldfast } from "../support/holdfast-process.ts";
import { processesOfEachTest } from "../support/processes.ts";

const patience = { timeout: 30_000, interval: 20 };
const processes = processesOfEachTest({ PROCESSES: "2", LEASE_SECONDS: "1", REAP_MILLIS: "100" });

interface Up {
  worker: string;
  address: string;
}

/** Of those that have said that they are up, in that order. */
const up = ({ lines }: HoldfastProcess): Up[] =>
  lines.filter(({ msg }) => msg === "holdfast is up") as unknown as Up[];

const pidOf = (worker: string): number => Number(worker.split(":").at(-1));

async function startBoth(environment: Record<string, string> = {}): Promise<HoldfastProcess> {
  const program = await processes.start(environment);
  await expect.poll(() => program.lines.map(({ msg }) => msg), patience).toContain("all processes are up");
  expect(up(program)).toHaveLength(2);
  return program;
}

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function startRun(url: string, wait: number): Promise<{ threadId: string; runId: string }> {
  const client = new Client({ apiUrl: url });
  const { thread_id: threadId } = await client.threads.create();
  const { run_id: runId } = await client.runs.create(threadId, "steps", { input: { wait } });
  await expect.poll(async () => (await runById(processes.db, runId)).status, patience).toBe("running");
  return { threadId, runId };
}

describe("two processes of one program", () => {
  it("share a port, and when one is killed its run is finished and another process takes its place", async () => {
    const program = await startBoth();
    const [one, two] = up(program);
    expect(one?.address).toBe(two?.address);
    const { threadId, runId } = await startRun(program.url, 500);
    const { worker_id: doomed } = await runById(processes.db, runId);
    expect([one?.worker, two?.worker]).toContain(doomed);
    process.kill(pidOf(doomed ?? ""), "SIGKILL");
    await expect.poll(async () => (await runById(processes.db, runId)).status, patience).toBe("success");
    await expect.poll(() => up(program).length, patience).toBe(3);
    const successor = up(program).at(-1);
    expect(successor?.address).toBe(one?.address);
    expect([one?.worker, two?.worker]).not.toContain(successor?.worker);
    const values = await new Client({ apiUrl: program.url }).threads.getState(threadId);
    expect(values.values).toMatchObject({ log: ["a", "b", "c"] });
  });

  it("tell in one scrape what each of them has counted, and of the queue once", async () => {
    const program = await startBoth();
    const headers = { "content-type": "application/json", connection: "close" };
    const body = JSON.stringify({ assistant_id: "steps", input: { wait: 0 } });
    const runs = 6;
    for (let n = 0; n < runs; n += 1) {
      const answer = await fetch(`${program.url}/runs/wait`, { method: "POST", headers, body });
      expect(await answer.json()).toMatchObject({ log: ["a", "b", "c"] });
    }
    const text = await (await fetch(`${program.url}/metrics`)).text();
    const counted = [
      ...text.matchAll(/^agent_tasks_total\{agent_name="steps",status="success",process="([12])"\} (\d+)$/gm),
    ];
    expect(counted.reduce((sum, [, , count]) => sum + Number(count), 0)).toBe(runs);
    expect(text).toMatch(/^holdfast_lease_lost_total\{process="1"\} 0$/m);
    expect(text).toMatch(/^holdfast_lease_lost_total\{process="2"\} 0$/m);
    expect(text.match(/^holdfast_queue_depth\{state="queued"\} 0$/gm)).toHaveLength(1);
    expect(text).not.toMatch(/^holdfast_queue_depth\{.*process=/m);
  });

  it("leave one that stands still out of a scrape", async () => {
    const program = await startBoth();
    const [one, two] = up(program).map(({ worker }) => pidOf(worker));
    process.kill(two ?? 0, "SIGSTOP");
    const ask = async (): Promise<string> => {
      const signal = AbortSignal.timeout(3_000);
      const headers = { connection: "close" };
      const answered = await fetch(`${program.url}/metrics`, { headers, signal }).catch(() => undefined);
      return answered === undefined ? "" : answered.text();
    };
    // Every second question goes to the one that stands still.
    await expect.poll(ask, patience).toMatch(/^holdfast_lease_lost_total\{process="1"\}/m);
    expect(await ask()).not.toMatch(/process="2"/);
    process.kill(two ?? 0, "SIGCONT");
    expect(one).not.toBe(two);
  });

  it("have names of their own where the worker was given one", async () => {
    const program = await startBoth({ WORKER_ID: "mine", ROLES: "worker" });
    expect(up(program).map(({ worker }) => worker)).toEqual(["mine:1", "mine:2"]);
  });
});

describe("the end of a program of two processes", () => {
  it("by SIGTERM gives runs back uncharged, and is one of code 0 that leaves no process", async () => {
    const program = await startBoth({ LEASE_SECONDS: "30" });
    const { runId } = await startRun(program.url, 700);
    program.kill("SIGTERM");
    expect(await program.exited).toEqual({ code: 0, signal: null });
    expect(up(program).map(({ worker }) => lives(pidOf(worker)))).toEqual([false, false]);
    expect(await runById(processes.db, runId)).toMatchObject({ status: "queued", attempt: 0, crashes: 0 });
  });

  it("by kill -9 of the parent alone gives runs back as well, and leaves no process", async () => {
    const program = await startBoth({ LEASE_SECONDS: "30" });
    const { runId } = await startRun(program.url, 700);
    program.kill("SIGKILL");
    await program.exited;
    await expect.poll(() => up(program).some(({ worker }) => lives(pidOf(worker))), patience).toBe(false);
    expect(await runById(processes.db, runId)).toMatchObject({ status: "queued", attempt: 0, crashes: 0 });
  });

  it("before it was up says once what is wrong, and is one of code 1", async () => {
    const start = startHoldfast({ PROCESSES: "2", DATABASE_URL: "postgres://127.0.0.1:1/none" });
    const error = await start.then(
      () => undefined,
      (failed: Error) => failed.message,
    );
    expect(error).toMatch(/ended before it was up: 1$/m);
    expect(error?.match(/ECONNREFUSED/g)?.length).toBeGreaterThan(0);
    expect(error).toMatch(/process 1 ended before it was up/);
    expect(error).not.toMatch(/process 2/);
  });
});
