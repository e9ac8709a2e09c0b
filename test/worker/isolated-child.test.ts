import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, it, onTestFinished } from "vitest";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { IsolatedChild } from "../../src/worker/isolated-child.ts";

const run = { run_id: "r", epoch: 1 } as RunRow;

/** A child that is ready at once, and does this with the run that it is handed. */
async function started(onWork: string): Promise<{ child: IsolatedChild; pid: number }> {
  const folder = mkdtempSync(path.join(tmpdir(), "isolated-"));
  const mainFile = path.join(folder, "main.mjs");
  const pidFile = path.join(folder, "pid");
  writeFileSync(
    mainFile,
    `import { writeFileSync } from "node:fs";
     writeFileSync(process.argv[2], String(process.pid));
     process.on("message", (message) => {
       if ("open" in message) process.send({ ready: true });
       if ("work" in message) { ${onWork} }
     });`,
  );
  const child = await IsolatedChild.start({ mainFile, command: pidFile, url: "none", workerId: "w" });
  onTestFinished(async () => {
    await child.stop(0);
    rmSync(folder, { recursive: true });
  });
  return { child, pid: Number(readFileSync(pidFile, "utf8")) };
}

/** Holds this thread, so that it hears of a death only after it has sent. */
const block = (millis: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis);
};

it("a death that is found out by sending to the child is told like any other", async () => {
  const { child, pid } = await started("");
  process.kill(pid, "SIGKILL");
  block(300);
  expect(child.alive).toBe(true);
  expect(await child.work(run)).toMatchObject({ died: { how: "killed by SIGKILL" } });
});

it("a child whose code cuts the line to its parent is ended: nobody would hear of its run", async () => {
  const { child } = await started("process.disconnect(); setInterval(() => undefined, 1000);");
  expect(await child.work(run)).toMatchObject({ died: { how: "killed by SIGKILL" } });
}, 15_000);

it("a child that ends by itself is told with its own code", async () => {
  const { child } = await started("process.exit(3);");
  expect(await child.work(run)).toMatchObject({ died: { how: "ended with code 3" } });
});
