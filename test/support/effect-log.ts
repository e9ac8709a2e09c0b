import { readFile } from "node:fs/promises";

/** What the sink did with one request, in the order in which its log became durable. */
export interface EffectLine {
  seq: number;
  /** `repeated`: the key was known, the first result was given again. `refused`: nothing happened. */
  what: "committed" | "repeated" | "refused";
  tool: string;
  /** The idempotency key that came along; null when there was none. */
  key: string | null;
  /** What the request was about in the business: the judge counts by this, never by our keys. */
  about: string;
  args: unknown;
  /** Of the effect; another one for each commit. Null where nothing happened. */
  receipt: string | null;
  fault: string | null;
}

/** Every whole line of a sink's log; a line that a crash has torn was never answered. */
export async function readEffectLog(file: string): Promise<EffectLine[]> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  return wholeLines(text).map((line) => JSON.parse(line) as EffectLine);
}

export const wholeLines = (text: string): string[] => text.split("\n").slice(0, -1);

/** What one call may have done to the world. */
export interface Expected {
  tool: string;
  about: string;
  /** Commits allowed, both ends included. */
  least: number;
  most: number;
}

/** I6: every effect counted at the sink. One sentence for each that is wrong, and for each that nobody expected. */
export function judgeEffects(log: readonly EffectLine[], expected: readonly Expected[]): string[] {
  const committed = new Map<string, EffectLine[]>();
  for (const line of log.filter(({ what }) => what === "committed")) {
    const name = nameOf(line);
    committed.set(name, [...(committed.get(name) ?? []), line]);
  }
  const wrong: string[] = [];
  for (const call of expected) {
    const lines = committed.get(nameOf(call)) ?? [];
    committed.delete(nameOf(call));
    if (lines.length >= call.least && lines.length <= call.most) continue;
    const allowed = call.least === call.most ? `${call.least}` : `${call.least} to ${call.most}`;
    wrong.push(
      `I6: ${nameOf(call)} took place ${lines.length} times, not ${allowed}${lines.map((line) => `; #${line.seq} with key ${line.key}`).join("")}`,
    );
  }
  for (const [name, lines] of committed) wrong.push(`I6: ${name} took place ${lines.length} times, unasked`);
  return wrong;
}

const nameOf = ({ tool, about }: { tool: string; about: string }): string => `${tool} of ${about}`;
