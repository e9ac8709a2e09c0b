// Faults of the official dev server that need a test of their own here; docs/compatibility.md lists where the others have theirs.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Annotation, END, START, StateGraph } from "@langchain/langgraph";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { createApp } from "../../src/http/app.ts";
import { senderOf } from "../support/dead-letters.ts";
import { startReceiver } from "../support/receiver.ts";
import { registryOf, startRuntime, type TestRuntime } from "../support/runtime.ts";
import { untilEnded } from "../support/watch.ts";

const State = Annotation.Root({ kilobytes: Annotation<number>(), done: Annotation<boolean>() });
/** Sends so many kilobytes, in events of ten each. */
const talkative = () =>
  new StateGraph(State)
    .addNode("talk", ({ kilobytes }, { writer }: { writer?: (chunk: unknown) => void }) => {
      for (let n = 0; n < kilobytes; n += 10) writer?.({ n, text: String(n % 7).repeat(10_000) });
      return { done: true };
    })
    .addEdge(START, "talk")
    .addEdge("talk", END)
    .compile();

let runtime: TestRuntime;
beforeEach(async () => {
  runtime = await startRuntime({ registry: await registryOf("any", talkative()) });
});
afterEach(() => runtime.close());

/** Neither a poll nor a heartbeat comes to the rescue. */
const onlyWoken = { pollMillis: 600_000, heartbeatSeconds: 600, webhooksPrivate: true };

const asked = (kilobytes: number) => ({ assistant_id: "any", input: { kilobytes }, stream_mode: "custom" });
const text = async (app: ReturnType<typeof createApp>, path: string): Promise<string> =>
  (await app.request(path)).text();
const idsIn = (stream: string): string[] => [...stream.matchAll(/^id: (\d+)$/gm)].map(([, id]) => String(id));

it("every client that joins a stream gets all of it, also after somebody has joined the run", async () => {
  const { app, send } = senderOf(runtime);
  const { json: thread } = await send("POST", "/threads", {});
  const { json: run } = await send("POST", `/threads/${thread.thread_id}/runs`, asked(200));
  const path = `/threads/${thread.thread_id}/runs/${run.run_id}`;
  const joined = [text(app, `${path}/stream`), text(app, `${path}/stream`), text(app, `${path}/join`)];
  runtime.work();
  const [one, two, values] = await Promise.all(joined);
  expect(JSON.parse(values ?? "")).toEqual({ kilobytes: 200, done: true });
  expect(idsIn(one ?? "")).toEqual(Array.from({ length: 21 }, (_, n) => String(n)));
  expect(two).toBe(one);
  expect(await text(app, `${path}/stream`)).toBe(one);
});

it("a stream that another process serves closes with its run, without a poll", async () => {
  const second = await startRuntime({ registry: await registryOf("any", talkative()), url: runtime.url });
  const [here, there] = [senderOf(runtime, onlyWoken), senderOf(second, onlyWoken)];
  const { json: thread } = await here.send("POST", "/threads", {});
  const { json: run } = await here.send("POST", `/threads/${thread.thread_id}/runs`, asked(10));
  const stream = text(there.app, `/threads/${thread.thread_id}/runs/${run.run_id}/stream`);
  runtime.work();
  expect(idsIn(await stream)).toEqual(["0", "1"]);
  await second.close();
});

it("runs go on while the webhooks of twelve others are not answered", async () => {
  const deaf = await startReceiver();
  deaf.answer = () => undefined;
  const { send } = senderOf(runtime, onlyWoken);
  const body = { ...asked(0), on_completion: "keep", webhook: deaf.url };
  const told = await Promise.all(Array.from({ length: 12 }, () => send("POST", "/runs", body)));
  runtime.work({ slotsMax: 4 });
  for (const { json } of told) expect((await untilEnded(runtime, json.run_id)).status).toBe("success");
  await expect.poll(() => deaf.received.length).toBeGreaterThan(0);
  const { json: next } = await send("POST", "/runs", { ...asked(0), on_completion: "keep" });
  expect((await untilEnded(runtime, next.run_id)).status).toBe("success");
});

it("nothing of a run stays in memory when it has ended and its streams are closed", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const held = (): number => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return (heapUsed + external) / 1024;
  };
  const { app, send } = senderOf(runtime);
  runtime.work();
  const runOf = async (kilobytes: number): Promise<void> => {
    const { json: thread } = await send("POST", "/threads", {});
    const path = `/threads/${thread.thread_id}/runs`;
    const { json: run } = await send("POST", path, asked(kilobytes));
    const streamed = await text(app, `${path}/${run.run_id}/stream`);
    expect(streamed.length).toBeGreaterThan(kilobytes * 1_000);
  };
  const [kilobytes, runs] = [500, 12];
  for (let n = 0; n < 4; n += 1) await runOf(kilobytes);
  const before = held();
  for (let n = 0; n < runs; n += 1) await runOf(kilobytes);
  expect(held() - before).toBeLessThan((runs * kilobytes) / 2);
});
