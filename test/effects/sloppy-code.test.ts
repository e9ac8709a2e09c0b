import { describe, expect, it } from "vitest";
import { Transient } from "../../src/domain/errors.ts";
import { effect } from "../../src/effects/effect.ts";
import { benchWith, failOnceAt, graphOf, ledgerRows, statesOf } from "../support/effects.ts";
import { logOf, signal } from "../support/scenario.ts";

describe("a node that swallows what an effect throws", () => {
  it("ends in a dead letter that names the call of which nobody knows whether it took place", async () => {
    let sent = 0;
    const bench = await benchWith(
      graphOf(async () => {
        const paid = effect({ name: "pay", args: {} }, async () => {
          sent += 1;
          throw new Error("socket hang up");
        });
        return paid.catch(() => "it did not work, never mind");
      }),
    );
    const run = await bench.run();
    const [row] = await ledgerRows(bench.runtime);
    expect(run).toMatchObject({ status: "error", error: { code: "effect_question_swallowed" } });
    expect(run.error?.message).toContain(`pay took place (effect ${row?.effect_id})`);
    expect(sent).toBe(1);
  });
});

describe("a branch that goes on after another one failed", () => {
  it("begins no call when the attempt has ended", async () => {
    const called: string[] = [];
    let attempt = 0;
    const failed = signal();
    const pay = (name: string) =>
      effect({ name, args: {} }, async () => {
        called.push(`${name} in ${attempt}`);
        if (name === "first") await failed.given;
        await new Promise((resolve) => setTimeout(resolve, 50));
        return name;
      });
    const bench = await benchWith(
      graphOf(async () => {
        attempt += 1;
        const both = (async () => [await pay("first"), await pay("second")])();
        both.catch(() => undefined);
        if (attempt === 1) {
          setTimeout(() => failed.give(), 20);
          await new Promise((resolve) => setTimeout(resolve, 10));
          throw new Transient("come back");
        }
        return await both;
      }),
    );
    const run = await bench.run();
    expect(await statesOf(bench.runtime)).toEqual(["first succeeded", "second succeeded"]);
    expect(logOf(run)).toEqual(['["first","second"]']);
    expect(called).toEqual(["first in 1", "second in 2"]);
  });
});

describe("a tool that another version declares as reading", () => {
  it("is read again although it was sent as something else, with other arguments", async () => {
    let n = 0;
    const bench = await benchWith(
      graphOf(() => {
        n += 1;
        return effect({ name: "look", class: n === 1 ? "at_most_once" : "read", args: { n } }, async () => n);
      }),
    );
    failOnceAt("effect.performed");
    expect(logOf(await bench.run())).toEqual(["2"]);
    expect(await ledgerRows(bench.runtime)).toMatchObject([{ state: "succeeded", class: "read" }]);
  });
});
