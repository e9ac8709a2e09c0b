import { Client } from "@langchain/langgraph-sdk";
import { describe, expect, it } from "vitest";
import { runById } from "../support/factory.ts";
import type { HoldfastProcess } from "../support/holdfast-process.ts";
import { processesOfEachTest } from "../support/processes.ts";

/** The heartbeat comes at a third of it. */
const leaseSeconds = 180;
const patience = { timeout: 60_000, interval: 20 };

const processes = processesOfEachTest({ LEASE_SECONDS: String(leaseSeconds) });

const said = ({ lines }: HoldfastProcess, msg: string, runId: string) =>
  lines.find((line) => line.msg === msg && line.run_id === runId);

describe("a cancel over one process", () => {
  it.each([
    ["at once", "true"],
    ["by polling, without notifications", "false"],
  ])("reaches the graph in another one long before a heartbeat: %s", async (_, listen) => {
    const api = await processes.start({ ROLES: "http", LISTEN_NOTIFY: listen });
    const worker = await processes.start({ ROLES: "worker", LISTEN_NOTIFY: listen });
    const { runs, threads } = new Client({ apiUrl: api.url });
    const { thread_id } = await threads.create();
    const begun = await Promise.all(
      ["interrupt", "rollback"].map(async (action) => {
        const thread = action === "interrupt" ? thread_id : (await threads.create()).thread_id;
        const { run_id } = await runs.create(thread, "cancellable", { input: {} });
        return { thread, run_id, action: action as "interrupt" | "rollback" };
      }),
    );
    for (const { thread, run_id, action } of begun) {
      await expect.poll(() => said(worker, "works", run_id), patience).toBeDefined();
      await runs.cancel(thread, run_id, true, action);
      expect(said(worker, "aborted", run_id)).toBeDefined();
    }
    expect(await runById(processes.db, begun[0]?.run_id ?? "")).toMatchObject({ status: "interrupted" });
    expect(await runById(processes.db, begun[1]?.run_id ?? "")).toBeUndefined();
    // The rejections that the graphs left behind have hurt nobody, and were nobody's to look at.
    const up = worker.lines.findIndex(({ msg }) => msg === "holdfast is up");
    const loud = worker.lines.slice(up).filter(({ level }) => Number(level) >= 40);
    expect(loud).toEqual([]);
    worker.kill("SIGTERM");
    expect(await worker.exited).toEqual({ code: 0, signal: null });
  });

  it("ends the attempt of a run that is deleted, too", async () => {
    const api = await processes.start({ ROLES: "http" });
    const worker = await processes.start({ ROLES: "worker" });
    const { runs, threads } = new Client({ apiUrl: api.url });
    const { thread_id } = await threads.create();
    const { run_id } = await runs.create(thread_id, "cancellable", { input: {} });
    await expect.poll(() => said(worker, "works", run_id), patience).toBeDefined();
    await runs.delete(thread_id, run_id);
    await expect.poll(() => said(worker, "aborted", run_id), patience).toBeDefined();
  });
});
