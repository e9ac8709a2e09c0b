import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Cancelled, EffectUnsettled, Fatal, LeaseLost, Transient } from "../../src/domain/errors.ts";
import type { Outcome } from "../../src/domain/outcome.ts";
import { backoffMs, decide, type Failure, retryPolicy } from "../../src/domain/retry.ts";
import { ModelError } from "../../src/models/model-error.ts";

const failing = (error: unknown, more: Partial<Failure> = {}): Outcome | null =>
  decide({
    error,
    failures: 0,
    policy: retryPolicy,
    cancelRequested: null,
    stopping: false,
    random: 0,
    ...more,
  });

const anyFailures = fc.integer({ min: 0, max: 20 });
const anyRandom = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("the wait before the next attempt", () => {
  it("doubles from 2 s, and stays at 60 s", () => {
    const waits = [1, 2, 3, 4, 5, 6, 7].map((nth) => backoffMs(nth, retryPolicy, 0));
    expect(waits).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  });

  it("is spread upward only, by half at most", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), anyRandom, (nth, random) => {
        const least = backoffMs(nth, retryPolicy, 0);
        const wait = backoffMs(nth, retryPolicy, random);
        expect(wait).toBeGreaterThanOrEqual(least);
        expect(wait).toBeLessThanOrEqual(least * (1 + retryPolicy.jitterMax));
      }),
    );
  });
});

describe("a failed attempt", () => {
  it("is tried five times in all", () => {
    const kinds = [0, 1, 2, 3, 4].map((failures) => failing(new Transient("503"), { failures })?.kind);
    expect(kinds).toEqual(["retry", "retry", "retry", "retry", "dead"]);
  });

  it.each<[string, unknown, object]>([
    ["a timeout", new Transient("slow"), { status: "timeout", error: { code: "exhausted" } }],
    [
      "a rate limit",
      new Transient("429", { kind: "rate_limit" }),
      { status: "error", error: { code: "exhausted" } },
    ],
  ])("after the last attempt %s ends the run", (_, error, expected) => {
    expect(failing(error, { failures: 4 })).toMatchObject({ kind: "dead", ...expected });
  });

  it.each<[string, unknown, object]>([
    ["a wrong key", Object.assign(new Error("no"), { status: 401 }), { code: "invalid_key" }],
    ["a bad answer", new ModelError("bad_answer", "not JSON"), { code: "bad_answer", name: "ModelError" }],
    ["a fault in graph code", new TypeError("x"), { code: "type_error", name: "TypeError", message: "x" }],
    ["what graph code calls fatal", new Fatal("no", { code: "mine" }), { code: "mine" }],
  ])("%s ends it at once", (_, error, expected) => {
    expect(failing(error)).toMatchObject({ kind: "dead", status: "error", error: expected });
  });

  it("waits as long as the provider asks, up to an hour", () => {
    const asked = (retryAfterMs: number) =>
      failing(new Transient("429", { kind: "rate_limit", retryAfterMs }));
    expect(asked(7_000)).toMatchObject({ kind: "retry", delayMs: 7_000, charged: true });
    expect(asked(86_400_000)).toMatchObject({ delayMs: 3_600_000 });
  });

  it("costs the run nothing when the database was away", () => {
    fc.assert(
      fc.property(anyFailures, (failures) => {
        const outcome = failing(new Transient("away", { kind: "database" }), { failures });
        expect(outcome).toMatchObject({ kind: "retry", charged: false });
      }),
    );
  });

  it("writes nothing when its lease is lost, whatever else was asked", () => {
    expect(failing(new LeaseLost("gone"), { cancelRequested: "interrupt" })).toBeNull();
  });

  it("is a cancel when somebody asked for one, and goes back when only the worker stopped", () => {
    expect(failing(new Error("aborted"), { cancelRequested: "rollback" })).toEqual({
      kind: "cancelled",
      action: "rollback",
    });
    expect(failing(new Cancelled("draining"), { stopping: true })).toEqual({ kind: "released" });
    expect(failing(new Cancelled("thrown by a graph"))).toMatchObject({ kind: "dead" });
  });

  it("leads to an outcome for whatever was thrown, and never waits less than nothing", () => {
    fc.assert(
      fc.property(fc.anything(), anyFailures, anyRandom, (error, failures, random) => {
        const outcome = failing(error, { failures, random });
        if (outcome?.kind === "retry") expect(outcome.delayMs).toBeGreaterThanOrEqual(0);
        else expect(outcome).not.toBeNull();
      }),
    );
  });

  it("keeps the causes in order and bounds what it stores", () => {
    const error = new Error("x".repeat(10_000), {
      cause: new Error("inner", { cause: new RangeError("innermost") }),
    });
    const outcome = failing(error);
    if (outcome?.kind !== "dead") throw new Error("an unknown error ends the run");
    expect(outcome.error.message).toHaveLength(4_000);
    expect(outcome.error.causes).toEqual(["Error: inner", "RangeError: innermost"]);
  });
});

describe("an attempt that waits for the outcome of an effect", () => {
  const unsettled = new EffectUnsettled("looked up again", { waitMs: 55_000 });

  it("goes back into the queue for just that time, uncharged, however it is wrapped", () => {
    for (const error of [unsettled, new Error("outer", { cause: unsettled })]) {
      expect(failing(error, { failures: 4 })).toMatchObject({
        kind: "retry",
        charged: false,
        delayMs: 55_000,
        error: { code: "effect_unsettled" },
      });
    }
  });

  it("cannot be claimed by graph code that borrows the name", () => {
    const borrowed = Object.assign(new Error("mine"), { name: "EffectUnsettled", waitMs: 1 });
    expect(failing(borrowed)).toMatchObject({ kind: "dead" });
  });
});
