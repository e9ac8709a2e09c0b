import { describe, expect, it } from "vitest";
import type { EffectClass, EffectDeclaration, Looked } from "../../src/domain/effect.ts";
import { NotDone, Transient } from "../../src/domain/errors.ts";
import { effect } from "../../src/effects/effect.ts";
import {
  type Bench,
  benchWith,
  failOnceAt,
  graphOf,
  ledgerRows,
  openQuestions,
  recordFailpoints,
  statesOf,
} from "../support/effects.ts";
import { logOf, rowsOf } from "../support/scenario.ts";

/** The world: what it was sent, and what it says when it is looked at. */
class World {
  readonly keys: string[] = [];
  readonly looks: string[] = [];
  bench: Bench | undefined;
  /** Thrown by the nth call, from 0. */
  fails: (nth: number) => unknown = () => undefined;
  finds: (nth: number) => Looked = () => ({ found: false });

  readonly lookup = async (key: string): Promise<Looked> => {
    const [row] = await rowsOf(
      this.bench?.runtime as never,
      "select round(extract(epoch from holdfast.now() - dispatched_at)) as s from holdfast.effects where key = $1",
      key,
    );
    this.looks.push(`${row?.s} s`);
    return this.finds(this.looks.length - 1);
  };

  pay(declaration: Partial<EffectDeclaration>, args: unknown = { amount: 1 }): Promise<string> {
    return effect({ name: "pay", ...(declaration as object), args }, async (key) => {
      this.keys.push(key);
      const failure = this.fails(this.keys.length - 1);
      if (failure !== undefined) throw failure;
      return `receipt ${this.keys.length}`;
    });
  }
}

async function worldOf(declare: (world: World) => Partial<EffectDeclaration>): Promise<[World, Bench]> {
  const world = new World();
  const bench = await benchWith(graphOf(() => world.pay(declare(world))));
  world.bench = bench;
  return [world, bench];
}
const receipt = (n: number): string[] => [JSON.stringify(`receipt ${n}`)];
const lost = (): Error => new Error("socket hang up");

describe("a call whose outcome a crash hid", () => {
  it.each(["read", "idempotent", "natural"] as const)("of class %s is sent again", async (kind) => {
    const [world, bench] = await worldOf(() => ({ class: kind }));
    failOnceAt("effect.performed");
    const run = await bench.run();
    expect(run).toMatchObject({ status: "success", attempt: 2 });
    expect(world.keys).toHaveLength(2);
    expect(new Set(world.keys).size).toBe(1);
    expect(await ledgerRows(bench.runtime)).toMatchObject([
      { state: "succeeded", dispatches: 2, class: kind },
    ]);
  });

  it("of class natural with a lookup is looked up first, and not sent again when it is found", async () => {
    const [world, bench] = await worldOf(({ lookup }) => ({ class: "natural", lookup }));
    world.finds = () => ({ found: true, result: "found" });
    failOnceAt("effect.performed");
    expect(logOf(await bench.run())).toEqual(['"found"']);
    expect(world.keys).toHaveLength(1);
    expect(await statesOf(bench.runtime)).toEqual(["pay reconciled_done"]);
  });

  it("of class natural with a lookup is sent again when it is not found", async () => {
    const [world, bench] = await worldOf(({ lookup }) => ({ class: "natural", lookup }));
    failOnceAt("effect.performed");
    expect(logOf(await bench.run())).toEqual(receipt(2));
    expect(world.looks).toHaveLength(1);
  });

  it("of class queryable is looked up after 5 s and after 60 s, holds no worker and is not charged", async () => {
    const [world, bench] = await worldOf(({ lookup }) => ({ class: "queryable", lookup }));
    world.finds = (nth) => (nth === 0 ? { found: false } : { found: true, result: { id: 7 } });
    failOnceAt("effect.performed");
    const run = await bench.run();
    expect(logOf(run)).toEqual(['{"id":7}']);
    expect(world.keys).toHaveLength(1);
    expect(world.looks).toHaveLength(2);
    const [first, second] = world.looks.map(Number.parseFloat);
    expect(first).toBeGreaterThanOrEqual(5);
    expect(first).toBeLessThan(20);
    expect(second).toBeGreaterThanOrEqual(60);
    expect(second).toBeLessThan(80);
    expect(await ledgerRows(bench.runtime)).toMatchObject([
      { state: "reconciled_done", looks: 1, dispatches: 1 },
    ]);
    // The cut is charged; waiting for a look is not.
    expect(run).toMatchObject({ failures: 1, attempt: 2 });
    const waits = await rowsOf(
      bench.runtime,
      "select error ->> 'code' as code from holdfast.run_attempts where run_id = $1 and outcome = 'retry' order by epoch",
      run.run_id,
    );
    expect(waits.map(({ code }) => code)).toEqual(["timeout", "effect_unsettled", "effect_unsettled"]);
  });

  it("of class queryable is sent again with the same key when neither look finds it", async () => {
    const [world, bench] = await worldOf(({ lookup }) => ({ class: "queryable", lookup }));
    failOnceAt("effect.performed");
    expect(logOf(await bench.run())).toEqual(receipt(2));
    expect(world.looks).toHaveLength(2);
    expect(new Set(world.keys).size).toBe(1);
    expect(await ledgerRows(bench.runtime)).toMatchObject([{ state: "succeeded", dispatches: 2 }]);
  });

  it("of class idempotent is not sent again when the key is too old for the other side", async () => {
    const [world, bench] = await worldOf(() => ({ class: "idempotent", keyLifetimeSeconds: 1 }));
    failOnceAt("effect.performed");
    const run = await bench.run();
    expect(run).toMatchObject({ status: "success" });
    expect(world.keys).toHaveLength(1);
    expect(await statesOf(bench.runtime)).toEqual(["pay escalated"]);
    expect(await openQuestions(bench.runtime, run.thread_id)).toHaveLength(1);
  });

  it("of class idempotent with an old key and a lookup is looked up", async () => {
    const [world, bench] = await worldOf(({ lookup }) => ({
      class: "idempotent",
      keyLifetimeSeconds: 1,
      lookup,
    }));
    world.finds = () => ({ found: true, result: "found" });
    failOnceAt("effect.performed");
    expect(logOf(await bench.run())).toEqual(['"found"']);
    expect(world.keys).toHaveLength(1);
  });

  const compensate = async (): Promise<null> => null;
  it.each([
    [
      "is sent again where it declares a key lifetime",
      { keyLifetimeSeconds: 3_600 },
      ["pay succeeded", 2, 0],
    ],
    ["is looked up where it declares a lookup", { lookup: true }, ["pay reconciled_done", 1, 1]],
    ["is asked about where it declares neither", {}, ["pay escalated", 1, 0]],
  ] as const)("of class compensatable %s", async (_, declared, expected) => {
    const [world, bench] = await worldOf(({ lookup }) => ({
      class: "compensatable" as EffectClass,
      compensate,
      ...("keyLifetimeSeconds" in declared ? { keyLifetimeSeconds: declared.keyLifetimeSeconds } : {}),
      ...("lookup" in declared ? { lookup } : {}),
    }));
    world.finds = () => ({ found: true });
    failOnceAt("effect.performed");
    expect(await bench.run()).toMatchObject({ status: "success" });
    expect([...(await statesOf(bench.runtime)), world.keys.length, world.looks.length]).toEqual(expected);
  });

  it("is sent five times by one run at most, also where the key is honoured", async () => {
    const [world, bench] = await worldOf(() => ({ class: "idempotent" }));
    world.fails = () => new Transient("no answer", { retryAfterMs: 0 });
    const run = await bench.run({ attemptsMax: 9 });
    expect(run).toMatchObject({ status: "error", error: { code: "effect_exhausted" } });
    expect(world.keys).toHaveLength(5);
  });
});

describe("a call that fails", () => {
  it.each([
    [
      "says that it was not done",
      () => new NotDone("out of stock", { cause: new Transient("later", { retryAfterMs: 0 }) }),
    ],
    ["was refused by status 429", () => Object.assign(new Error("slow down"), { status: 429 })],
    ["could not connect", () => Object.assign(new Error("connect"), { code: "ECONNREFUSED" })],
  ])("is settled as failed when it %s, and sent again by the next attempt", async (_, failure) => {
    const [world, bench] = await worldOf(() => ({}));
    world.fails = (nth) => (nth === 0 ? failure() : undefined);
    expect(logOf(await bench.run())).toEqual(receipt(2));
    expect(world.keys).toHaveLength(2);
    expect(await statesOf(bench.runtime)).toEqual(["pay succeeded"]);
  });

  it("is known not to have taken place when the run dies of it", async () => {
    const [world, bench] = await worldOf(() => ({}));
    world.fails = () => new NotDone("no such account");
    expect(await bench.run()).toMatchObject({ status: "error", error: { code: "not_done" } });
    expect(await ledgerRows(bench.runtime)).toMatchObject([
      { state: "failed", error: { message: "no such account" }, dispatches: 1 },
    ]);
  });

  it("in a way that hides its outcome asks a human in the same attempt when it is at most once", async () => {
    const [world, bench] = await worldOf(() => ({}));
    world.fails = lost;
    const names = recordFailpoints();
    const run = await bench.run();
    expect(run).toMatchObject({ status: "success", attempt: 1 });
    expect(await statesOf(bench.runtime)).toEqual(["pay escalated"]);
    expect(names.filter((name) => name.startsWith("effect."))).toEqual([
      "effect.prepared",
      "effect.dispatched",
      "effect.unknown",
      "effect.escalated",
    ]);
  });

  it("in a way that hides its outcome waits for its look-ups when it is queryable", async () => {
    const [world, bench] = await worldOf(({ lookup }) => ({ class: "queryable", lookup }));
    world.fails = lost;
    world.finds = () => ({ found: true, result: "found" });
    const names = recordFailpoints();
    const run = await bench.run();
    expect(logOf(run)).toEqual(['"found"']);
    expect(run).toMatchObject({ attempt: 1, failures: 0 });
    expect(names.filter((name) => name.startsWith("effect."))).toEqual([
      ...["effect.prepared", "effect.dispatched", "effect.unknown"],
      ...["effect.prepared", "effect.looked", "effect.reconciled"],
    ]);
  });

  it("transiently is sent again with the same key when the key is honoured, although the node swallows it", async () => {
    const world = new World();
    world.fails = (nth) => (nth === 0 ? new Transient("no answer", { retryAfterMs: 0 }) : undefined);
    const bench = await benchWith(graphOf(() => world.pay({ class: "idempotent" }).catch(() => "swallowed")));
    expect(logOf(await bench.run())).toEqual(receipt(2));
    expect(new Set(world.keys).size).toBe(1);
  });

  it("is settled as failed whatever it throws when it only reads", async () => {
    const [world, bench] = await worldOf(() => ({ class: "read" }));
    world.fails = lost;
    expect(await bench.run()).toMatchObject({ status: "error" });
    expect(await statesOf(bench.runtime)).toEqual(["pay failed"]);
  });
});
