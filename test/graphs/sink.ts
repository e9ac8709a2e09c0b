import { Transient } from "holdfast";

/** Where a call goes and what it is about. */
export interface Sent {
  sink: string;
  tool: string;
  about: string;
  args?: unknown;
}

const sinkMillisMax = 2_000;

/** Asks the outside world of the tests to do something. Throws Transient when it is not known to have answered. */
export async function send({ sink, tool, about, args }: Sent, key: string): Promise<unknown> {
  const response = await fetch(`${sink}/tools/${tool}`, {
    method: "POST",
    headers: { "idempotency-key": key },
    body: JSON.stringify({ about, args: args ?? {} }),
    signal: AbortSignal.timeout(sinkMillisMax),
  }).catch((cause: unknown) => {
    throw new Transient(`${tool} gave no answer`, { cause });
  });
  if (!response.ok) throw new Transient(`${tool} answered ${response.status}`);
  return response.json();
}

/** Whether the sink has done something under this key. */
export async function lookUp(
  sink: string,
  key: string,
): Promise<{ found: true; result: unknown } | { found: false }> {
  const response = await fetch(`${sink}/effects/${encodeURIComponent(key)}`, {
    signal: AbortSignal.timeout(sinkMillisMax),
  });
  return (await response.json()) as { found: true; result: unknown } | { found: false };
}
