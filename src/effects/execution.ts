import { Fatal } from "../domain/errors.ts";

/** Where a tool node tells what runs inside its calls which execution of its task this is. */
export const executionKey = "__holdfast_execution";
const heldKey = "__holdfast_effect_key";
/** Far above the attempts that a retryPolicy is given. */
const attemptsMax = 100_000;

interface Configured {
  configurable?: Record<string, unknown>;
  executionInfo?: { nodeAttempt?: number };
}

const scratchpads = new WeakMap<object, number>();
let scratchpadsSeen = 0;

/**
 * Which execution of its task this is, as a number that no other execution in this process has. LangGraph counts
 * the tries of a retryPolicy, but shows them only to the node itself; and when it repeats an outer node, it begins
 * again at one in the tasks of a subgraph, which then have new scratchpads.
 */
export function executionOf({ configurable = {}, executionInfo }: Configured): number {
  const told = configurable[executionKey];
  const attempt = executionInfo?.nodeAttempt ?? (told instanceof Execution ? told.attempt : 1);
  return scratchpadOf(configurable.__pregel_scratchpad) * attemptsMax + attempt;
}

function scratchpadOf(scratchpad: unknown): number {
  if (typeof scratchpad !== "object" || scratchpad === null) return 0;
  const known = scratchpads.get(scratchpad);
  if (known !== undefined) return known;
  scratchpadsSeen += 1;
  scratchpads.set(scratchpad, scratchpadsSeen);
  return scratchpadsSeen;
}

/** A class, so that a caller's JSON can never be one. */
class Execution {
  readonly attempt: number;
  constructor(attempt: number) {
    this.attempt = attempt;
  }
}

class HeldKey {
  readonly key: string;
  constructor(key: string) {
    this.key = key;
  }
}

/** What a tool sees in its config: the key of its call, and which execution of the task it is in. */
export function insideCall(config: Configured, key: string): Record<string, unknown> {
  const attempt = config.executionInfo?.nodeAttempt;
  return {
    [heldKey]: new HeldKey(key),
    ...(attempt === undefined ? {} : { [executionKey]: new Execution(attempt) }),
  };
}

/** Whether a tool node's call is under way here. */
export const isInsideCall = (config: Configured): boolean =>
  config.configurable?.[heldKey] instanceof HeldKey;

/** The key of the call that this config belongs to. Throws Fatal outside one. */
export function heldKeyOf(config: Configured | undefined): string {
  const held = config?.configurable?.[heldKey];
  if (held instanceof HeldKey) return held.key;
  throw new Fatal("idempotencyKey was called outside a tool call of a tool node", {
    code: "effect_outside_run",
  });
}
