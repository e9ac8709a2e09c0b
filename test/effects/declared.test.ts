import { describe, expect, it } from "vitest";
import type { EffectDeclaration } from "../../src/domain/effect.ts";
import { NotDone } from "../../src/domain/errors.ts";
import { declarationOf, declareEffect } from "../../src/effects/declared.ts";
import { defineEffect } from "../../src/effects/define.ts";
import { effect } from "../../src/effects/effect.ts";
import { tookNoPlace } from "../../src/effects/failure.ts";
import { resultBytesMax } from "../../src/effects/sizes.ts";
import { createApp } from "../../src/http/app.ts";
import { httpDefaults } from "../../src/http/deps.ts";
import { benchWith, failOnceAt, graphOf, ledgerRows } from "../support/effects.ts";
import { sentOf } from "../support/http.ts";
import { logOf, rowsOf } from "../support/scenario.ts";

const compensate = async (): Promise<null> => null;

describe("a declaration", () => {
  it.each([
    [{ name: "" }, "a name is needed"],
    [{ name: "a", class: "queryable" }, "class queryable needs a lookup"],
    [{ name: "a", class: "compensatable" }, "class compensatable needs a compensate"],
    [{ name: "a", class: "sometimes" }, "class is one of read, idempotent"],
    [{ name: "a", keyLifetimeSeconds: 0 }, "keyLifetimeSeconds is a number above 0"],
  ])("%j is refused early", (declaration, message) => {
    expect(() => declareEffect(declaration as EffectDeclaration)).toThrow(message);
  });

  it("is refused at the call as well, before anything is stored", async () => {
    const bench = await benchWith(
      graphOf(() => effect({ name: "pay", class: "queryable", args: 1 }, async () => "never")),
    );
    const run = await bench.run();
    expect(run).toMatchObject({ status: "error", error: { code: "invalid_effect" } });
    expect(await ledgerRows(bench.runtime)).toEqual([]);
  });

  it("is found by name, the preferred one first, and not when two differ", () => {
    const one: EffectDeclaration = { name: "declared-1", compensate };
    const two: EffectDeclaration = { name: "declared-1", compensate };
    expect(declarationOf("declared-1")).toBeUndefined();
    declareEffect(one);
    declareEffect(one);
    expect(declarationOf("declared-1")).toBe(one);
    declareEffect(two);
    expect(declarationOf("declared-1")).toBeUndefined();
    expect(declarationOf("declared-1", [two])).toBe(two);
  });

  it("written at its call is remembered, the latest for all", async () => {
    const last: EffectDeclaration[] = [];
    const bench = await benchWith(
      graphOf(async () => {
        for (const amount of [1, 2]) {
          await effect(
            { name: "inline-1", class: "compensatable", compensate, args: { amount } },
            async () => amount,
          );
          last.push(declarationOf("inline-1") as EffectDeclaration);
        }
        return "done";
      }),
    );
    await bench.run();
    expect(last).toMatchObject([{ compensate }, { compensate }]);
    expect(declarationOf("inline-1")).toBe(last[1]);
  });
});

describe("a defined effect", () => {
  it("is declared when it is defined, and called with its arguments and a key", async () => {
    const keys: string[] = [];
    const pay = defineEffect({
      name: "defined-1",
      class: "idempotent",
      version: "2",
      run: async ({ amount }: { amount: number }, { key, signal }) => {
        keys.push(key);
        expect(signal).toBeInstanceOf(AbortSignal);
        return { paid: amount };
      },
    });
    expect(declarationOf("defined-1")).toBe(pay.declaration);
    const bench = await benchWith(graphOf(() => pay({ amount: 3 })));
    failOnceAt("effect.performed");
    expect(logOf(await bench.run())).toEqual(['{"paid":3}']);
    expect(new Set(keys).size).toBe(1);
    expect(keys).toHaveLength(2);
    expect(await ledgerRows(bench.runtime)).toMatchObject([
      { tool: "defined-1", tool_version: "2", class: "idempotent", args: '{"amount":3}', attempt: 2 },
    ]);
  });
});

describe("a failed call", () => {
  const status = (code: number): Error => Object.assign(new Error("no"), { status: code });
  const coded = (code: string): Error => Object.assign(new Error("no"), { code });
  it.each<readonly [string, unknown, boolean]>([
    ["NotDone", new NotDone("no"), true],
    ["NotDone of another copy", Object.assign(new Error("no"), { name: "NotDone" }), true],
    ["NotDone as a cause", new Error("outer", { cause: new NotDone("no") }), true],
    ...[400, 401, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422, 429].map(
      (code) => [`status ${code}`, status(code), true] as const,
    ),
    ...[402, 408, 409, 425, 500, 502, 503, 504].map(
      (code) => [`status ${code}`, status(code), false] as const,
    ),
    ["status in a response", Object.assign(new Error("no"), { response: { status: 422 } }), true],
    ...["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN"].map((code) => [code, coded(code), true] as const),
    ...["ECONNRESET", "EPIPE", "ETIMEDOUT"].map((code) => [code, coded(code), false] as const),
    ["fetch that could not connect", new TypeError("fetch failed", { cause: coded("ECONNREFUSED") }), true],
    [
      "a 500 whose cause could not connect",
      Object.assign(status(500), { cause: coded("ECONNREFUSED") }),
      false,
    ],
    ["an error that says nothing", new Error("no"), false],
    ["a text", "no", false],
  ])("with %s", (_, error, expected) => {
    expect(tookNoPlace(error, "idempotent")).toBe(expected);
    expect(tookNoPlace(error, "read")).toBe(true);
  });
});

describe("what cannot be stored", () => {
  it.each([
    ["a BigInt", () => ({ n: 1n }), "n is a bigint"],
    ["a Map", () => new Map(), "a Map"],
    ["NaN", () => [Number.NaN], "0 is NaN"],
    ["too many bytes", () => "x".repeat(resultBytesMax), "of at most 1000000"],
  ])(
    "as a result (%s) ends the run, although the call is known to have taken place",
    async (_, result, message) => {
      let calls = 0;
      const pay = () =>
        effect({ name: "pay", args: 1 }, async () => {
          calls += 1;
          return result() as never;
        });
      const bench = await benchWith(graphOf(() => pay().catch(() => pay())));
      const run = await bench.run();
      expect(run).toMatchObject({ status: "error", error: { code: "effect_result_unstorable" } });
      expect(run.error?.message).toContain(message);
      expect(await ledgerRows(bench.runtime)).toMatchObject([
        { state: "succeeded", result: null, ordinal: 0 },
      ]);
      expect(calls).toBe(1);
      // Repeated, the step gets the same error, and calls nothing.
      const again = await bench.run({
        threadId: run.thread_id,
        kwargs: { input: null, stream_mode: ["values"] },
      });
      expect(again).toMatchObject({ status: "error", error: { code: "effect_result_unstorable" } });
      expect(calls).toBe(1);
    },
  );

  it("as arguments ends the run before anything happens", async () => {
    const args = { big: "x".repeat(1_000_001) };
    const bench = await benchWith(graphOf(() => effect({ name: "pay", args }, async () => "never")));
    expect(await bench.run()).toMatchObject({ error: { code: "effect_args_unstorable" } });
    expect(await ledgerRows(bench.runtime)).toEqual([]);
  });

  it("a Date comes back as its text, at the first time as at the second", async () => {
    let executions = 0;
    const seen: unknown[] = [];
    const bench = await benchWith(
      graphOf(async () => {
        seen.push(await effect({ name: "now", args: 1 }, async () => ({ at: new Date(0) })));
        executions += 1;
        return "done";
      }),
    );
    failOnceAt("effect.succeeded");
    await bench.run();
    expect([seen, executions]).toEqual([[{ at: "1970-01-01T00:00:00.000Z" }], 1]);
  });
});

describe("the routes that show effects", () => {
  it("give class, call, times, question and state; explain says what is unclear; the scrape counts it", async () => {
    const bench = await benchWith(
      graphOf(async () => {
        await effect({ name: "look", class: "read", version: "1", args: { q: 1 } }, async () => ({
          found: 2,
        }));
        return effect({ name: "pay", args: 1 }, async () => {
          throw new Error("lost");
        });
      }),
    );
    const run = await bench.run();
    const config = { ...httpDefaults, version: "test" };
    const app = createApp({ ...bench.runtime, config, ready: async () => true });
    const get = async (url: string) => sentOf(await app.request(url));
    const { json } = await get(`/threads/${run.thread_id}/effects`);
    const [question] = await rowsOf(bench.runtime, "select escalation_id from holdfast.escalations");
    expect(json).toMatchObject([
      {
        ...{ tool: "look", class: "read", tool_version: "1", state: "succeeded", args: { q: 1 } },
        ...{ result: { found: 2 }, dispatches: 1, duration_ms: expect.any(Number), escalation_id: null },
      },
      {
        ...{ tool: "pay", class: "at_most_once", state: "escalated", error: { message: "lost" } },
        ...{ result: null, escalation_id: question?.escalation_id, compensates: null, compensated_at: null },
      },
    ]);
    const explained = (await get(`/threads/${run.thread_id}/explain`)).json;
    expect(explained.safe_to_retry).toEqual({ safe: false, why: expect.stringContaining("pay") });
    const scrape = (await get("/metrics")).text;
    expect(scrape).toContain("holdfast_effects_unknown 1");
    expect(scrape).toContain('holdfast_effects_total{class="at_most_once",state="escalated"} 1');
    expect(scrape).toContain('holdfast_tool_calls_total{tool="look",outcome="succeeded"} 1');
    expect(scrape).toContain('holdfast_tool_duration_seconds_count{tool="pay"} 1');
  });
});
