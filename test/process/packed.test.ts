import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { Client } from "@langchain/langgraph-sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { filesOf, installPacked, packHoldfast, type Started, startIn } from "../support/packed.ts";

const run = promisify(execFile);
const projects = path.resolve(import.meta.dirname, "projects");

let folder: string;
let project: string;
let tarball: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "holdfast-packed-"));
  project = path.join(folder, "agent");
  await cp(path.join(projects, "stock"), project, { recursive: true });
  tarball = await packHoldfast(folder);
  await installPacked(project, tarball);
}, 300_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the packed program", () => {
  it("has what it runs, its types and its migrations, and nothing of the repository's own", async () => {
    const files = await filesOf(tarball);
    expect(files).toEqual(
      expect.arrayContaining([
        "package.json",
        "README.md",
        "docs/operations.md",
        "dist/src/main.js",
        "dist/src/index.js",
        "dist/src/index.d.ts",
        "dist/src/db/migrations/0001_runs.sql",
        "dist/src/worker/lease-thread.js",
      ]),
    );
    expect(
      files.filter((file) => /^(src|test|samples|bench|scripts|graphs|validators)\//.test(file)),
    ).toEqual([]);
  });

  it("serves a stock project, installed beside it, on its own Postgres", async () => {
    const server = await startIn(project, ["npx", "holdfast", "dev", "--no-browser"]);
    try {
      console.log(`answered ${Math.round(server.upMillis)} ms after npx holdfast dev`);
      const client = new Client({ apiUrl: server.url });
      const { thread_id } = await client.threads.create();
      const first = await client.runs.wait(thread_id, "agent", {
        input: { messages: [{ role: "user", content: "hello" }] },
        config: { configurable: { name: "Ada" } },
      });
      expect(first).toMatchObject({
        messages: [{ content: "hello" }, { content: "Hi, this is Ada, message 2" }],
      });
      const second = await client.runs.wait(thread_id, "agent", {
        input: { messages: [{ role: "user", content: "again" }] },
      });
      expect(second).toMatchObject({ messages: [{}, {}, {}, { content: "Hi, this is Ada, message 4" }] });
    } finally {
      await server.stop();
    }
  });

  it("shares one copy of LangGraph with the graphs, whatever conditions the project sets", async () => {
    const [theirs, ours] = ["graph.js", "node_modules/holdfast/dist/src/main.js"].map((file) =>
      createRequire(path.join(project, file)).resolve("@langchain/langgraph"),
    );
    expect(theirs).toBe(ours);
    const script = 'import("holdfast").then((all) => console.log(typeof all.effect))';
    const { stdout } = await run(process.execPath, ["--conditions=source", "-e", script], { cwd: project });
    expect(stdout.trim()).toBe("function");
  });

  it("has types that a strict project can use", async () => {
    const source = path.join(project, "typed");
    await mkdir(source);
    await cp(path.join(projects, "typed.ts"), path.join(source, "typed.ts"));
    const compiler = path.resolve(import.meta.dirname, "../../node_modules/typescript/bin/tsc");
    const options = ["--strict", "--noEmit", "--skipLibCheck", "--target", "es2022", "--module", "nodenext"];
    await run(process.execPath, [compiler, ...options, path.join(source, "typed.ts")], {
      cwd: project,
    }).catch(({ stdout }) => expect(stdout).toBe(""));
  });
});

describe("holdfast new", () => {
  const holdfast = (...args: string[]) =>
    run(path.join(project, "node_modules/.bin/holdfast"), args, { cwd: project });
  let written: string;
  beforeAll(async () => {
    written = path.join(project, "my-agent");
    await holdfast("new", "my-agent");
  });

  it("writes a project that is whole, and names it", async () => {
    const files = await readdir(written);
    expect(files).toEqual(expect.arrayContaining([".env.example", ".gitignore", ".dockerignore"]));
    const manifest = JSON.parse(await readFile(path.join(written, "package.json"), "utf8"));
    expect(manifest).toMatchObject({
      name: "my-agent",
      dependencies: { holdfast: `file:${path.basename(tarball)}` },
    });
    expect(files).toContain(path.basename(tarball));
    expect(await readdir(project)).not.toContainEqual(expect.stringMatching(/^\.my-agent-/));
  });

  it("writes a test that passes", async () => {
    const { stdout } = await run("npm", ["test"], { cwd: written });
    expect(stdout).toMatch(/# pass 3\n# fail 0|ℹ pass 3\nℹ fail 0/);
  });

  it("writes an agent that is served, and sends a refund once", async () => {
    const server = await startIn(written, ["npm", "run", "dev"]);
    try {
      console.log(`answered ${Math.round(server.upMillis)} ms after npm run dev`);
      const client = new Client({ apiUrl: server.url });
      const refund = { order: "A-1", paid_cents: 5000, refund_cents: 2000, reason: "broken" };
      const done = await client.runs.wait(null, "agent", { input: { refund } });
      expect(done).toMatchObject({ status: "sent", sent: { order: "A-1", cents: 2000 } });
      const asked = await client.runs.wait(null, "agent", {
        input: { refund: { ...refund, refund_cents: 9000 } },
      });
      expect(asked).toHaveProperty("__interrupt__");
    } finally {
      await server.stop();
    }
  });

  it("writes nothing into a folder that is not empty", async () => {
    const before = await readdir(written);
    const again = holdfast("new", "my-agent");
    await expect(again).rejects.toMatchObject({ code: 1, stderr: expect.stringMatching(/not empty/) });
    expect(await readdir(written)).toEqual(before);
  });
});

describe("a project of CommonJS", () => {
  let server: Started | undefined;
  beforeAll(async () => {
    const commonjs = path.join(project, "commonjs");
    await cp(path.join(projects, "commonjs"), commonjs, { recursive: true });
    // With an option of langgraph dev, from another folder than the project's.
    server = await startIn(project, ["node_modules/.bin/holdfast", "serve", "--config", "commonjs"]);
  }, 120_000);
  afterAll(() => server?.stop());

  it.each(["js", "cjs", "mjs", "ts"])(
    "has effects, questions and commands in a graph of %s",
    async (graph) => {
      const client = new Client({ apiUrl: server?.url ?? "" });
      const { thread_id } = await client.threads.create();
      const input = { messages: [{ role: "user", content: "hello" }] };
      const asked = await client.runs.wait(thread_id, graph, { input });
      expect(asked).toMatchObject({ paid: { sent: true }, __interrupt__: [{ value: "sure?" }] });
      const done = await client.runs.wait(thread_id, graph, { command: { resume: "yes" } });
      expect(done).toMatchObject({
        said: "yes",
        messages: [{}, { content: "asked" }, { content: "after 2" }],
      });
    },
  );
});
