import { Annotation, END, START, StateGraph } from "@langchain/langgraph";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { createApp } from "../../src/http/app.ts";
import { senderOf } from "../support/dead-letters.ts";
import { registryOf, startRuntime, type TestRuntime } from "../support/runtime.ts";
import { signal } from "../support/scenario.ts";

const gatesPerRun = 3;
let gates = new Map<string, ReturnType<typeof signal>>();

const State = Annotation.Root({
  run: Annotation<string>(),
  log: Annotation<string[]>({ reducer: (a, b) => a.concat(b), default: () => [] }),
});

/** Says in each node that it waits, and goes on when the test has opened the gate of that name. */
const gated = () => {
  const node =
    (n: number) =>
    async ({ run }: typeof State.State, { writer }: { writer?: (chunk: unknown) => void }) => {
      const name = `${run}:${n}`;
      writer?.({ waits: name });
      await gates.get(name)?.given;
      return { log: [name] };
    };
  return new StateGraph(State)
    .addNode("n0", node(0))
    .addNode("n1", node(1))
    .addNode("n2", node(2))
    .addEdge(START, "n0")
    .addEdge("n0", "n1")
    .addEdge("n1", "n2")
    .addEdge("n2", END)
    .compile();
};

type App = ReturnType<typeof createApp>;
let worker: TestRuntime;
let second: TestRuntime;
/** The same routes over the same database, with nothing else in common. */
let [here, there]: App[] = [];
beforeAll(async () => {
  worker = await startRuntime({ registry: await registryOf("any", gated()) });
  second = await startRuntime({ registry: await registryOf("any", gated()), url: worker.url });
  worker.work();
  here = senderOf(worker, { streamsPerPrincipalMax: 0 }).app;
  there = senderOf(second, { streamsPerPrincipalMax: 0 }).app;
});
afterAll(async () => {
  await second.close();
  await worker.close();
});

interface Frame {
  event: string;
  data: string;
  id: string;
}

/** A stream that is open, read at once whatever comes: one that is not read is cut off. */
class Reading {
  readonly frames: Frame[] = [];
  readonly #ended: Promise<void>;
  #news = signal();

  private constructor(body: ReadableStream<Uint8Array>) {
    this.#ended = this.#read(body.pipeThrough(new TextDecoderStream()));
  }

  static async open(app: App | undefined, path: string, after?: string): Promise<Reading> {
    const headers: Record<string, string> = after === undefined ? {} : { "last-event-id": after };
    const response = await (app as App).request(path, { headers });
    expect(response.status).toBe(200);
    return new Reading(response.body as ReadableStream<Uint8Array>);
  }

  async #read(body: ReadableStream<string>): Promise<void> {
    let text = "";
    for await (const chunk of body) {
      text += chunk;
      const parts = text.replace(/^:.*\n/gm, "").split("\n\n");
      text = parts.pop() ?? "";
      this.frames.push(...parts.map(frameOf));
      this.#news.give();
      this.#news = signal();
    }
  }

  async until(enough: (frames: Frame[]) => boolean): Promise<Frame[]> {
    const early = this.#ended.then(() => {
      if (!enough(this.frames)) throw new Error("the stream ended early");
    });
    while (!enough(this.frames)) await Promise.race([this.#news.given, early]);
    early.catch(() => undefined);
    return this.frames;
  }

  async toEnd(): Promise<Frame[]> {
    await this.#ended;
    return this.frames;
  }
}

function frameOf(text: string): Frame {
  const field = (name: string): string => new RegExp(`^${name}: (.*)$`, "m").exec(text)?.[1] ?? "";
  return { event: field("event"), data: field("data"), id: field("id") };
}

async function post(path: string, body: unknown): Promise<Record<string, string>> {
  const headers = { "content-type": "application/json" };
  const response = await (here as App).request(path, { method: "POST", headers, body: JSON.stringify(body) });
  expect(response.status).toBe(200);
  return (await response.json()) as Record<string, string>;
}

const setGates = (...runs: string[]): void => {
  const names = runs.flatMap((run) => Array.from({ length: gatesPerRun }, (_, n) => `${run}:${n}`));
  gates = new Map(names.map((name) => [name, signal()]));
};

async function startRun(threadId: string, run: string, modes: string[]): Promise<string> {
  const body = { assistant_id: "any", input: { run }, stream_mode: modes };
  const { run_id } = await post(`/threads/${threadId}/runs`, body);
  return String(run_id);
}

/** The gate that a node says it waits at. */
const gateIn = ({ event, data }: Frame): string | undefined =>
  event === "custom" ? (JSON.parse(data) as { waits: string }).waits : undefined;

/**
 * Follows a stream, and at each gate of a run, while it waits there, opens a stream at every event that came until then.
 * What was opened is kept by the place in the list at which it goes on.
 */
async function openAtEvery(
  following: Reading,
  {
    run,
    opened,
    open,
  }: { run: string; opened: Map<number, Reading>; open: (after: string) => Promise<Reading> },
): Promise<void> {
  for (const name of [...gates.keys()].filter((gate) => gate.startsWith(`${run}:`))) {
    const frames = await following.until((seen) => seen.some((frame) => gateIn(frame) === name));
    for (const [n, { id }] of frames.entries()) {
      if (!opened.has(n + 1)) opened.set(n + 1, await open(id));
    }
    gates.get(name)?.give();
  }
}

describe("a stream that is resumed over another process", () => {
  it("gives a run's events without a gap or a repeat from every one of them, while it works and afterwards", async () => {
    setGates("r");
    const { thread_id } = await post("/threads", {});
    const modes = ["values", "updates", "custom", "tasks", "checkpoints"];
    const path = `/threads/${thread_id}/runs/${await startRun(String(thread_id), "r", modes)}/stream`;
    const following = await Reading.open(here, path);
    const meanwhile = new Map<number, Reading>();
    const open = (after: string): Promise<Reading> => Reading.open(there, path, after);
    await openAtEvery(following, { run: "r", opened: meanwhile, open });
    const whole = await following.toEnd();
    expect(whole.map(({ id }) => id)).toEqual(whole.map((_, n) => String(n)));
    expect(new Set(whole.map(({ event }) => event))).toEqual(new Set(["metadata", ...modes]));
    expect(meanwhile.size).toBeGreaterThan(whole.length / 2);
    for (const [n, reading] of meanwhile) expect(await reading.toEnd(), `from ${n}`).toEqual(whole.slice(n));
    for (const n of whole.keys())
      expect(await (await open(String(n))).toEnd(), `after ${n}`).toEqual(whole.slice(n + 1));
    for (const start of [undefined, "-1"])
      expect(await (await Reading.open(there, path, start)).toEnd()).toEqual(whole);
    for (const unknown of [String(whole.length), "nonsense"]) {
      const [first, ...rest] = await (await open(unknown)).toEnd();
      expect(first).toMatchObject({
        event: "reset",
        data: expect.stringContaining(`Last-Event-ID ${unknown}`),
      });
      expect(rest).toEqual(whole);
    }
  });

  it("does so for a thread, over its runs and the states written in between", async () => {
    setGates("one", "two");
    const { thread_id } = await post("/threads", {});
    const path = `/threads/${thread_id}/stream?stream_mode=run_modes,state_update`;
    const open = (after: string): Promise<Reading> => Reading.open(there, path, after);
    const following = await Reading.open(here, path, "-");
    const meanwhile = new Map<number, Reading>();
    for (const run of ["one", "two"]) {
      await startRun(String(thread_id), run, ["values", "custom"]);
      await openAtEvery(following, { run, opened: meanwhile, open });
      await following.until((seen) => seen.at(-1)?.data.includes("run_done") ?? false);
      if (run === "one")
        await post(`/threads/${thread_id}/state`, { values: { log: ["by hand"] }, as_node: "n2" });
    }
    const all = [...following.frames];
    expect(all.filter(({ event }) => event === "state_update")).toHaveLength(1);
    const late = new Map<number, Reading>([[0, await open("-")]]);
    for (const [n, { id }] of all.entries()) late.set(n + 1, await open(id));
    const reset = await open("99-1");
    await reset.until((seen) => seen.length === all.length + 1);
    for (const [n, reading] of [...meanwhile, ...late])
      await reading.until((seen) => seen.length >= all.length - n);
    // A thread's stream ends with its thread: whatever it would say twice has come by then.
    await (here as App).request(`/threads/${thread_id}`, { method: "DELETE" });
    expect(await following.toEnd()).toEqual(all);
    for (const [n, reading] of meanwhile)
      expect(await reading.toEnd(), `meanwhile from ${n}`).toEqual(all.slice(n));
    for (const [n, reading] of late)
      expect(await reading.toEnd(), `afterwards from ${n}`).toEqual(all.slice(n));
    const [first, ...rest] = await reset.toEnd();
    expect(first?.event).toBe("reset");
    expect(rest).toEqual(all);
  });
});
