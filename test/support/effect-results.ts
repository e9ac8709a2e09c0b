import { createHash } from "node:crypto";
import canonicalize from "canonicalize";
import type { EffectLine } from "./effect-log.ts";

/** What the sink answers, wherever it ends up. */
interface Receipt {
  tool: string;
  about: string;
  key: string | null;
  receipt: string;
}

interface Sides {
  threads: readonly { thread_id: string; values: string | null; status: string }[];
  /** Rows whose call took place, of runs that have ended. */
  ledger: readonly { thread_id: string; tool: string; result: string | null; run_status: string }[];
  log: readonly EffectLine[];
}

const digest = (value: unknown): string =>
  createHash("sha256")
    .update(canonicalize(value) ?? "null")
    .digest("hex");

/**
 * Compares three witnesses of each call: the thread's state, the ledger and the sink. A result in the state must be
 * in the ledger with the same digest and name a commit of the sink; of a thread that ended well the reverse holds too.
 */
export function wrongResults({ threads, ledger, log }: Sides): string[] {
  const committed = new Set(
    log.filter(({ what }) => what === "committed").map(({ tool, receipt }) => `${tool}|${receipt}`),
  );
  const wrong: string[] = [];
  for (const { thread_id, values, status } of threads) {
    const held = receiptsIn(JSON.parse(values ?? "null"));
    const rows = ledger.filter((row) => row.thread_id === thread_id && row.result !== null);
    const ledgered = new Set(
      rows.flatMap(({ result }) => receiptsIn(JSON.parse(result ?? "null")).map(digest)),
    );
    for (const receipt of held) {
      const name = `${receipt.tool} of ${receipt.about}`;
      if (!ledgered.has(digest(receipt)))
        wrong.push(`I7: thread ${thread_id} holds a result of ${name} that the ledger has not`);
      if (!committed.has(`${receipt.tool}|${receipt.receipt}`))
        wrong.push(`I7: thread ${thread_id} holds receipt ${receipt.receipt} that the sink never gave`);
    }
    if (status !== "idle") continue;
    const digests = new Set(held.map(digest));
    for (const { tool, result, run_status } of rows) {
      if (run_status !== "success" && run_status !== "interrupted") continue;
      for (const receipt of receiptsIn(JSON.parse(result ?? "null")))
        if (!digests.has(digest(receipt)))
          wrong.push(`I7: the ledger has a result of ${tool} that thread ${thread_id} does not hold`);
    }
  }
  return wrong;
}

/** Every receipt in a state, also inside the text of a tool message; one that is there twice counts once. */
export function receiptsIn(state: unknown): Receipt[] {
  const found = new Map<string, Receipt>();
  const visit = (value: unknown): void => {
    if (typeof value === "string" && value.includes('"receipt"')) visit(parsed(value));
    if (typeof value !== "object" || value === null) return;
    if ("receipt" in value && "tool" in value) found.set(digest(value), value as Receipt);
    else for (const inner of Object.values(value)) visit(inner);
  };
  visit(state);
  return [...found.values()];
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
