import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type HoldfastProcess, startHoldfast } from "../support/holdfast-process.ts";

const repository = path.resolve(import.meta.dirname, "../..");
const lookMillis = 50;
const looksMax = 1_200;

let database: TestDatabase;
let folder: string;
let dev: HoldfastProcess | undefined;
beforeEach(async () => {
  database = await createTestDatabase();
  folder = await mkdtemp(path.join(tmpdir(), "holdfast-dev-"));
  await symlink(path.join(repository, "node_modules"), path.join(folder, "node_modules"));
  await writeFile(
    path.join(folder, "langgraph.json"),
    JSON.stringify({ graphs: { g: "./g.ts:graph" }, env: ".env" }),
  );
});
afterEach(async () => {
  dev?.kill("SIGTERM");
  await dev?.exited;
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

const graphSaying = (text: string): Promise<void> =>
  writeFile(
    path.join(folder, "g.ts"),
    `import { Annotation, END, START, StateGraph } from "@langchain/langgraph";
     const State = Annotation.Root({ said: Annotation<string>() });
     export const graph = new StateGraph(State)
       .addNode("say", () => ({ said: ${text} })).addEdge(START, "say").addEdge("say", END);`,
  );

/** Waits for the nth log line that matches; the program's log is its signal. */
async function line(text: string, times: number): Promise<Record<string, unknown>> {
  for (let look = 0; look < looksMax; look += 1) {
    const found = dev?.lines.filter(({ msg }) => String(msg).startsWith(text)) ?? [];
    const nth = found[times - 1];
    if (nth !== undefined) return nth;
    await pause(lookMillis);
  }
  throw new Error(`no line ${times} "${text}" in\n${dev?.lines.map(({ msg }) => msg).join("\n")}`);
}

async function said(up: Record<string, unknown>): Promise<unknown> {
  const body = JSON.stringify({ assistant_id: "g", input: {} });
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${up.address}/runs/wait`, { method: "POST", headers, body });
  return ((await response.json()) as { said?: unknown }).said;
}

it("takes the server along when it is killed", async () => {
  await graphSaying('"one"');
  const LANGGRAPH_JSON = path.join(folder, "langgraph.json");
  dev = await startHoldfast({ DATABASE_URL: database.url, LANGGRAPH_JSON }, { command: "dev" });
  const { address } = await line("holdfast is up", 1);
  dev.kill("SIGKILL");
  await dev.exited;
  let alive = true;
  for (let look = 0; alive && look < looksMax; look += 1) {
    alive = await fetch(`${address}/livez`).then(
      () => true,
      () => false,
    );
    if (alive) await pause(lookMillis);
  }
  expect(alive).toBe(false);
});

it("starts the server again when a graph or the env file changes, and waits with the error when it cannot", async () => {
  await graphSaying('"one"');
  await writeFile(path.join(folder, ".env"), "WORD=two\n");
  const LANGGRAPH_JSON = path.join(folder, "langgraph.json");
  dev = await startHoldfast({ DATABASE_URL: database.url, LANGGRAPH_JSON }, { command: "dev" });
  expect(await said(await line("holdfast is up", 1))).toBe("one");

  await graphSaying("process.env.WORD");
  expect(await said(await line("holdfast is up", 2))).toBe("two");

  await writeFile(path.join(folder, ".env"), "WORD=three\n");
  expect(await said(await line("holdfast is up", 3))).toBe("three");

  await graphSaying("this does not compile");
  await line("the server has ended", 1);
  await graphSaying('"four"');
  expect(await said(await line("holdfast is up", 4))).toBe("four");
});
