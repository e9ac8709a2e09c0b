import { expect, it } from "vitest";
import { createRun } from "../../src/queue/create.ts";
import { runRequest } from "../support/factory.ts";
import { processesOfEachTest } from "../support/processes.ts";

const patience = { timeout: 60_000, interval: 20 };
const processes = processesOfEachTest({ ROLES: "worker", PROBE_PORT: "0", DRAIN_SECONDS: "600" });

it("a worker without the API tells at a port of its own how it is, also while its runs drain", async () => {
  const worker = await processes.start({});
  const { probes, address } = worker.lines.find(({ msg }) => msg === "holdfast is up") ?? {};
  expect(address).toBeNull();
  const ask = async (path: string) => (await fetch(`${probes}${path}`)).status;
  expect(await ask("/livez")).toBe(200);
  expect(await ask("/readyz")).toBe(200);
  expect(await ask("/threads/search")).toBe(404);
  const { run } = await createRun(
    processes.db,
    runRequest({ graphId: "cancellable", kwargs: { input: {}, stream_mode: ["values"] } }),
  );
  await expect
    .poll(() => worker.lines.some(({ msg, run_id }) => msg === "works" && run_id === run.run_id), patience)
    .toBe(true);
  worker.kill("SIGTERM");
  await expect.poll(() => ask("/readyz"), patience).toBe(503);
  expect(await ask("/livez")).toBe(200);
  const metrics = await (await fetch(`${probes}/metrics`)).text();
  expect(metrics).toMatch(/^holdfast_queue_depth\{state="running"\} 1$/m);
});
