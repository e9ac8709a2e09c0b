import { getConfig } from "@langchain/langgraph";
import type { EffectDeclaration } from "../domain/effect.ts";
import { declareEffect } from "./declared.ts";
import { performEffect } from "./effect.ts";

export interface EffectDefinition<A, R> extends EffectDeclaration<A, R> {
  /** Makes the call; `key` is the idempotency key to send along, `signal` ends with the attempt. */
  run: (args: A, call: { key: string; signal?: AbortSignal }) => Promise<R>;
}

export interface DefinedEffect<A, R> {
  (args: A): Promise<R>;
  readonly declaration: EffectDeclaration;
}

/** An effect declared when its module is loaded, so that any process that serves the graph can undo or look it up. */
export function defineEffect<A, R>({ run, ...declared }: EffectDefinition<A, R>): DefinedEffect<A, R> {
  const declaration = declared as unknown as EffectDeclaration;
  declareEffect(declaration);
  const call = (args: A): Promise<R> =>
    performEffect({ declaration, args, toolCallId: null }, (key) => {
      const { signal } = (getConfig() ?? {}) as { signal?: AbortSignal };
      return run(args, signal === undefined ? { key } : { key, signal });
    });
  return Object.assign(call, { declaration });
}
