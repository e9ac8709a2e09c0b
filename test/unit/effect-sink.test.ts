import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { judgeEffects } from "../support/effect-log.ts";
import { type EffectSink, startEffectSink } from "../support/effect-sink.ts";
import type { SinkFault, ToolRules } from "../support/effect-sink-server.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "holdfast-sink-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function sinkWith(tools: Record<string, ToolRules> = {}): Promise<EffectSink & { log: string }> {
  const log = path.join(folder, randomUUID());
  const sink = await startEffectSink({ log, tools, seed: 1, slowMillis: 100 });
  onTestFinished(() => sink.stop());
  return { ...sink, log };
}

const send = (
  { url }: EffectSink,
  {
    tool = "pay",
    about = "a",
    key,
    ms = 5_000,
  }: { tool?: string; about?: string; key?: string; ms?: number },
): Promise<Response> =>
  fetch(`${url}/tools/${tool}`, {
    method: "POST",
    headers: key === undefined ? {} : { "idempotency-key": key },
    body: JSON.stringify({ about, args: {} }),
    signal: AbortSignal.timeout(ms),
  });

const whats = async (sink: EffectSink): Promise<string[]> => (await sink.lines()).map(({ what }) => what);

describe("the effect sink", () => {
  it("answers a key that it knows with the first result, also when both come at once", async () => {
    const sink = await sinkWith();
    const answers = await Promise.all([1, 2, 3].map(async () => (await send(sink, { key: "k" })).json()));
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(await whats(sink)).toEqual(["committed", "repeated", "repeated"]);
  });

  it("does it again each time for a tool that ignores keys", async () => {
    const sink = await sinkWith({ pay: { honoursKeys: false } });
    const receipts = [];
    for (let n = 0; n < 2; n += 1)
      receipts.push(JSON.stringify(await (await send(sink, { key: "k" })).json()));
    expect(new Set(receipts).size).toBe(2);
    expect(await whats(sink)).toEqual(["committed", "committed"]);
  });

  it.each<[SinkFault, number | string, string[]]>([
    ["refuse", 503, ["refused"]],
    ["fail", 500, ["committed"]],
    ["drop", "TypeError", ["committed"]],
    ["hang", "TimeoutError", ["committed"]],
    ["stall", "TimeoutError", []],
    ["slow", 200, ["committed"]],
  ])("with %s the caller sees %s, and the log has what took place", async (fault, seen, log) => {
    const sink = await sinkWith({ pay: { faults: [{ fault, nth: 1 }] } });
    const first = await send(sink, { key: "k", ms: 600 }).then(
      ({ status }) => status,
      (error: Error) => error.name,
    );
    expect(first).toBe(seen);
    expect(await whats(sink)).toEqual(log);
    expect((await send(sink, { key: "k" })).status, "only the first request meets the fault").toBe(200);
  });

  it("tells by key whether an effect took place", async () => {
    const sink = await sinkWith({ pay: { faults: [{ fault: "drop", nth: 1 }] } });
    expect((await fetch(`${sink.url}/effects/k`)).status).toBe(404);
    await send(sink, { key: "k" }).catch(() => undefined);
    const found = await (await fetch(`${sink.url}/effects/k`)).json();
    expect(found).toMatchObject({ found: true, result: { about: "a", receipt: "pay-1" } });
  });

  it("chooses the same requests for its faults with the same seed", async () => {
    const rules = { pay: { faults: [{ fault: "refuse" as const, rate: 0.3 }] } };
    const statuses = await Promise.all(
      [await sinkWith(rules), await sinkWith(rules)].map((sink) =>
        Promise.all(
          Array.from({ length: 50 }, async (_, n) => (await send(sink, { about: `run-${n}` })).status),
        ),
      ),
    );
    expect(statuses[0]).toEqual(statuses[1]);
    const refused = statuses[0]?.filter((status) => status === 503).length;
    expect(refused).toBeGreaterThan(5);
    expect(refused).toBeLessThan(30);
  });

  it("knows after kill -9 what it has answered, and drops a torn line", async () => {
    const sink = await sinkWith();
    await Promise.all(Array.from({ length: 200 }, (_, n) => send(sink, { key: `key-${n}`, about: `${n}` })));
    await writeFile(sink.log, '{"seq": 201, "what": "comm', { flag: "a" });
    await sink.restart();
    expect((await sink.lines()).length).toBe(200);
    expect(await (await send(sink, { key: "key-7", about: "7" })).json()).toMatchObject({ about: "7" });
    expect((await whats(sink)).at(-1)).toBe("repeated");
    expect((await send(sink, { key: "new", about: "new" })).status).toBe(200);
    expect((await sink.lines()).map(({ seq }) => seq)).toEqual(Array.from({ length: 202 }, (_, n) => n + 1));
  });
});

describe("the judge of effects", () => {
  it("names what took place too often, too rarely and unasked", async () => {
    const sink = await sinkWith({ pay: { honoursKeys: false } });
    for (const about of ["twice", "twice", "once", "unasked"]) await send(sink, { about });
    const expected = ["twice", "once", "never"].map((about) => ({ tool: "pay", about, least: 1, most: 1 }));
    expect(judgeEffects(await sink.lines(), expected)).toEqual([
      expect.stringContaining("pay of twice took place 2 times, not 1"),
      expect.stringContaining("pay of never took place 0 times, not 1"),
      expect.stringContaining("pay of unasked took place 1 times, unasked"),
    ]);
  });
});
