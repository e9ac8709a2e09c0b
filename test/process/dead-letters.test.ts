import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { rowsDigest } from "../support/dead-letters.ts";
import { runById } from "../support/factory.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";
import { accepted } from "../support/scenario.ts";
import { untilEnded } from "../support/watch.ts";

const repository = path.resolve(import.meta.dirname, "../..");
const program = path.join(repository, "dist/src/main.js");

let database: TestDatabase;
let runtime: TestRuntime;
let folder: string;
beforeEach(async () => {
  database = await createTestDatabase();
  runtime = await startRuntime({ url: database.url });
  folder = await mkdtemp(path.join(tmpdir(), "holdfast-dead-"));
});
afterEach(async () => {
  await runtime.close();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** The compiled program's `dead-letters` on this database. */
function holdfast(...args: string[]): Promise<Ended> {
  const env = { PATH: process.env.PATH, DATABASE_URL: database.url };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [program, "dead-letters", ...args],
      { cwd: repository, env },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
  });
}

async function dead(...inputs: unknown[]): Promise<string[]> {
  const work = runtime.work();
  const ids: string[] = [];
  for (const input of inputs) {
    const { run_id } = await accepted(runtime, {
      graphId: "failing",
      kwargs: { input, stream_mode: ["values"] },
    });
    expect((await untilEnded(runtime, run_id)).status).toBe("error");
    ids.push(run_id);
  }
  await work.stop(2_000);
  return ids;
}
async function ended(runId: string) {
  const work = runtime.work();
  const run = await untilEnded(runtime, runId);
  await work.stop(2_000);
  return run;
}

describe("holdfast dead-letters", () => {
  it("lists, groups and shows what died, for people and for programs", async () => {
    const [one = "", two = ""] = await dead({ fail: "no order 1" }, { fail: "no order 22" });
    const list = await holdfast("list");
    expect(list).toMatchObject({ code: 0, stderr: "" });
    const [head, newest, oldest] = list.stdout.split("\n");
    expect(head).toMatch(/^RUN +GRAPH +CODE +GROUP +DIED +MESSAGE$/);
    expect(newest).toMatch(new RegExp(`^${two} +failing +error +[0-9a-f]{16} .*no order 22$`));
    expect(oldest).toMatch(new RegExp(`^${one}`));
    const [group] = JSON.parse((await holdfast("groups", "--json")).stdout);
    expect(group).toMatchObject({ count: 2, code: "error", graphs: ["failing"] });
    expect((await holdfast("groups")).stdout).toContain(
      `${group.fingerprint}: The graph's own code threw this`,
    );
    const shown = (await holdfast("show", one)).stdout;
    for (const part of [
      "no order 1",
      "WAITED MS",
      "redrive from the start: possible",
      "input    {",
      "test/graphs/index.ts",
    ])
      expect(shown).toContain(part);
    expect(JSON.parse((await holdfast("show", one, "--json")).stdout)).toMatchObject({
      input: { fail: "no order 1" },
    });
  });

  it("redrives a group at a rate; a dry run changes nothing", async () => {
    const ids = await dead({ fail: "x 1" }, { fail: "x 2" });
    const [{ fingerprint }] = JSON.parse((await holdfast("groups", "--json")).stdout);
    const before = await rowsDigest(runtime);
    const dry = await holdfast("redrive", "--group", fingerprint, "--dry-run");
    expect(dry).toMatchObject({ code: 0, stdout: expect.stringContaining("2 would be redriven, 0 refused") });
    expect(await rowsDigest(runtime)).toBe(before);
    const done = await holdfast("redrive", "--group", fingerprint, "--rate", "0.1", "--json");
    const [first, second] = JSON.parse(done.stdout) as { run_id: string; available_at: string }[];
    expect([first!.run_id, second!.run_id]).toEqual(ids);
    const apart = Date.parse(second!.available_at) - Date.parse(first!.available_at);
    expect(apart).toBeGreaterThan(9_000);
    expect(apart).toBeLessThan(30_000);
  });

  it("starts a run again from the start with the input of a file", async () => {
    const [id = ""] = await dead({ fail: "bad input", log: ["in"] });
    const file = path.join(folder, "input.json");
    await writeFile(file, JSON.stringify({ fail: "", log: ["edited"] }));
    const redriven = await holdfast("redrive", id, "--from", "start", "--input", file, "--json");
    expect(redriven).toMatchObject({ code: 0, stderr: "" });
    const [{ redrive_run_id }] = JSON.parse(redriven.stdout);
    const run = await ended(redrive_run_id);
    expect(JSON.parse(run.output ?? "")).toMatchObject({ log: ["edited", "fine", "fails not"] });
  });

  it("discards with a reason", async () => {
    const [id = ""] = await dead({ fail: "x" });
    expect(await holdfast("discard", id)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("reason"),
    });
    expect(await holdfast("discard", id, "--reason", "known")).toMatchObject({
      code: 0,
      stdout: "discarded 1\n",
    });
    expect(await runById(runtime.db, id)).toMatchObject({ discard_reason: "known" });
    expect((await holdfast("list")).stdout).toBe("no dead letters\n");
  });

  it("ends with 1 when something was refused, and with 2 when it was asked wrongly", async () => {
    const [id = ""] = await dead({ fail: "x" });
    const unknown = "00000000-0000-4000-8000-000000000000";
    expect(await holdfast("redrive", id, unknown)).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/redriven[\s\S]*refused.*Run not found[\s\S]*1 redriven, 1 refused/),
    });
    expect(await holdfast("redrive", id, "--from", "start", "--input", "no-such-file")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/--input no-such-file cannot be read/),
    });
    expect(await holdfast("show", unknown)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/not found/),
    });
    for (const wrong of [
      [],
      ["bury"],
      ["redrive"],
      ["list", "--colour"],
      ["show", "x"],
      ["redrive", id, "--rate", "fast"],
    ])
      expect(await holdfast(...wrong), wrong.join(" ")).toMatchObject({ code: 2, stdout: "" });
  });
});
