import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestDatabase } from "../support/database.ts";
import { expireLeases } from "../support/factory.ts";
import { startHoldfast } from "../support/holdfast-process.ts";
import { checkInvariants } from "../support/invariants.ts";
import { startRuntime } from "../support/runtime.ts";
import { rowsOf } from "../support/scenario.ts";
import { until } from "../support/watch.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "holdfast-saga-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const linesOf = async (file: string): Promise<string[]> => (await readFile(file, "utf8")).trim().split("\n");

describe("kill -9 in a compensation", () => {
  // Three bookings come before: the fifth effect is the second one that is undone.
  it.each([
    ["compensation.begun", 1],
    ["effect.prepared", 5],
    ["effect.dispatched", 5],
    ["effect.performed", 5],
    ["effect.succeeded", 5],
    ["compensation.settled", 1],
  ])("at %s #%i leaves another worker to undo the rest, each once, in reverse order", async (name, nth) => {
    const database = await createTestDatabase();
    const victim = await startHoldfast({
      DATABASE_URL: database.url,
      HOLDFAST_FAILPOINTS: JSON.stringify({ at: { name, nth, action: "SIGKILL" } }),
    });
    const journal = path.join(folder, randomUUID());
    const runtime = await startRuntime({ url: database.url });
    try {
      const threadId = randomUUID();
      const response = await fetch(`${victim.url}/threads/${threadId}/runs`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ assistant_id: "trip", if_not_exists: "create", input: { journal } }),
      });
      const { run_id: runId } = (await response.json()) as { run_id: string };
      expect(await victim.exited).toMatchObject({ signal: "SIGKILL" });
      await expireLeases(runtime.db);
      runtime.work({ leaseSeconds: 1 });
      await until(
        runtime.bus,
        async () =>
          (
            await rowsOf(
              runtime,
              "select 1 from holdfast.runs where kind = 'compensation' and status = 'success'",
            )
          )[0],
        "the compensation to end",
      );
      const deeds = (await linesOf(journal)).map((line) => line.split(" ").slice(0, 2).join(" "));
      expect(deeds).toEqual([
        "book flight",
        "book hotel",
        "book car",
        "cancel car",
        "cancel hotel",
        "cancel flight",
      ]);
      const repeated = (await linesOf(`${journal}.calls`)).length - deeds.length;
      expect(repeated, "only a call whose answer was lost is sent again").toBe(
        name === "effect.performed" ? 1 : 0,
      );
      await checkInvariants(runtime.db, [runId]);
    } finally {
      await victim.end();
      await runtime.close();
      await database.drop();
    }
  });
});
