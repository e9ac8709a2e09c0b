import { describe, expect, it } from "vitest";
import {
  type EffectClass,
  type EffectDeclaration,
  effectStates,
  isDone,
  isNotDone,
  keyLifetimeSecondsDefault,
  nextEffectStates,
  statesBefore,
  unclearStates,
  wayOut,
} from "../../src/domain/effect.ts";

const lookup = async () => ({ found: false }) as const;
const fresh = { ageMillis: 0, drifted: false };
const way = (kind: EffectClass | undefined, more: Partial<EffectDeclaration> = {}, unclear = fresh) =>
  wayOut({ name: "t", ...(kind === undefined ? {} : { class: kind }), ...more }, unclear);

describe("the states of an effect", () => {
  it("are each done, not done, unclear or undone, and only one of these", () => {
    for (const state of effectStates) {
      const kinds = [
        isDone(state),
        isNotDone(state),
        (unclearStates as readonly string[]).includes(state),
        state === "compensated",
      ];
      expect(kinds.filter(Boolean), state).toHaveLength(1);
    }
  });

  it("never lead from a call that took place back to sending it", () => {
    for (const state of effectStates.filter(isDone)) expect(nextEffectStates[state]).toEqual(["compensated"]);
    expect(statesBefore("compensated")).toEqual(["succeeded", "reconciled_done"]);
    expect(statesBefore("dispatched")).not.toContain("escalated");
  });
});

describe("an unclear call", () => {
  it("is cleared up by its class", () => {
    expect(way("read")).toBe("resend");
    expect(way("idempotent")).toBe("resend");
    expect(way("natural")).toBe("resend");
    expect(way("natural", { lookup })).toBe("look_then_resend");
    expect(way("queryable", { lookup })).toBe("look");
    expect(way("at_most_once")).toBe("ask");
    expect(way("at_most_once", { lookup })).toBe("ask");
    expect(way(undefined)).toBe("ask");
    expect(way("compensatable")).toBe("ask");
    expect(way("compensatable", { lookup })).toBe("look");
    expect(way("compensatable", { lookup, keyLifetimeSeconds: 60 })).toBe("resend");
  });

  it("is not sent with a key that the other side may have forgotten", () => {
    const aged = (seconds: number) => ({ ageMillis: seconds * 1_000, drifted: false });
    expect(way("idempotent", {}, aged(keyLifetimeSecondsDefault - 1))).toBe("resend");
    expect(way("idempotent", {}, aged(keyLifetimeSecondsDefault))).toBe("ask");
    expect(way("idempotent", { lookup }, aged(keyLifetimeSecondsDefault))).toBe("look");
    expect(way("idempotent", { keyLifetimeSeconds: 10 }, aged(10))).toBe("ask");
  });

  it("is never sent with other arguments", () => {
    const drifted = { ageMillis: 0, drifted: true };
    for (const kind of ["idempotent", "natural", "compensatable", "at_most_once"] as const) {
      expect(way(kind, { keyLifetimeSeconds: 60 }, drifted), kind).toBe("ask");
    }
    expect(way("natural", { lookup }, drifted)).toBe("look");
  });
});
