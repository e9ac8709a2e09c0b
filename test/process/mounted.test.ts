import { fork } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { Client } from "@langchain/langgraph-sdk";
import { expect, it, onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { createTestDatabase } from "../support/database.ts";

const host = path.resolve(import.meta.dirname, "projects/host/main.mjs");
const project = path.resolve(import.meta.dirname, "../graphs/ui/langgraph.json");

/** What the newer protocol answers to a run that is started over a WebSocket. */
async function overSocket(url: string): Promise<{ result: { run_id: string } }> {
  const socket = new WebSocket(url, { headers: { authorization: "Bearer alice" } });
  await once(socket, "open");
  const params = { assistant_id: "weather", input: {} };
  socket.send(JSON.stringify({ id: 1, method: "run.start", params }));
  const [answer] = await once(socket, "message");
  socket.close();
  await once(socket, "close");
  return JSON.parse(String(answer));
}

it("answers below a path of another program, does its runs there, and leaves nothing behind", async () => {
  const database = await createTestDatabase();
  const program = fork(host, [database.url, project], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const exited = once(program, "exit");
  onTestFinished(async () => {
    program.kill("SIGKILL");
    await exited;
    await database.drop();
  });
  const [{ url, traps }] = await once(program, "message");
  expect(traps).toBe(1);

  const client = new Client({
    apiUrl: `${url}/agents`,
    defaultHeaders: { authorization: "Bearer alice" },
  });
  const { thread_id } = await client.threads.create();
  const events: string[] = [];
  let runId = "";
  const asked = { input: {}, streamMode: ["custom" as const, "values" as const] };
  for await (const { event, data } of client.runs.stream(thread_id, "weather", asked)) {
    events.push(event);
    if (event === "metadata") runId = (data as { run_id: string }).run_id;
  }
  expect(events).toEqual(["metadata", "custom", "custom", "custom", "custom", "values"]);
  const again: string[] = [];
  for await (const { event } of client.runs.joinStream(thread_id, runId)) if (event !== "") again.push(event);
  expect(again).toEqual(events);
  const told = await overSocket(`${url.replace("http", "ws")}/agents/threads/${thread_id}/stream/events`);
  expect(told).toMatchObject({ type: "success", id: 1, result: { run_id: expect.any(String) } });
  await client.runs.join(thread_id, told.result.run_id);
  const html = await client["~ui"].getComponent("weather", "weather");
  const [, script = ""] = /src="([^"]+)"/.exec(html) ?? [];
  expect(script).toBe(`${url}/agents/ui/weather/entrypoint.js`);
  expect((await fetch(script)).status).toBe(200);
  expect((await fetch(`${url}/agents/threads/search`, { method: "POST" })).status).toBe(401);
  expect(await (await fetch(url)).text()).toBe("the program's own page");

  program.send("stop");
  const [stopped] = await once(program, "message");
  expect(stopped).toEqual({ status: 503, traps: 0 });
  expect(await exited).toEqual([0, null]);
});
