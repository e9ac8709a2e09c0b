import { createHash } from "node:crypto";
import { type EffectCall, type EffectRuntime, effectsKey } from "../../src/effects/effect.ts";

/** A ledger in memory: the same task and position get the same key, and a succeeded call is not made again. */
export function fakeEffects(): { calls: EffectCall[]; configurable: Record<string, EffectRuntime> } {
  const calls: EffectCall[] = [];
  const results = new Map<string, unknown>();
  const runtime: EffectRuntime = {
    async perform(call, dispatch) {
      const key = createHash("sha256").update(`${call.taskId}|${call.declaration.name}`).digest("hex");
      if (results.has(key)) return results.get(key) as never;
      calls.push(call);
      const result = await dispatch(key);
      results.set(key, JSON.parse(JSON.stringify(result)));
      return result;
    },
  };
  return { calls, configurable: { [effectsKey]: runtime } };
}
