import { appendFile, mkdir } from "node:fs/promises";
import { effect } from "holdfast";

/** Stands for a bank: one line in a file for each refund that was sent. */
const folder = ".holdfast";

export interface Sent {
  key: string;
  order: unknown;
  cents: unknown;
}

/** Sends the refund once, however often the node runs: after a crash, too. */
export function sendRefund({ order, refund_cents }: Record<string, unknown>): Promise<Sent> {
  const args = { order, cents: refund_cents };
  return effect({ name: "send_refund", args }, async (key) => {
    const sent = { key, ...args };
    await mkdir(folder, { recursive: true });
    await appendFile(`${folder}/refunds.jsonl`, `${JSON.stringify(sent)}\n`);
    return sent;
  });
}
