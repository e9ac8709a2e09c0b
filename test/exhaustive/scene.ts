import type { EffectLine, Expected } from "../support/effect-log.ts";
import { type Script, type ScriptedAnswer, say } from "../support/model-server.ts";
import type { ScriptedToolCall } from "../support/model-wire.ts";

/** A scenario that is killed at each of its boundaries. `about` names one play of it at the sink. */
export interface Scene {
  /** The graph in test/graphs/scenes.json. */
  name: string;
  input(world: { sink: string; about: string }): object;
  /** Answers a question that is not about an effect. */
  answer?(payload: unknown): unknown;
  /** What the sink may have done at the end. */
  expected(about: string): Expected[];
  /** Tools whose calls the sink does not tell apart by their key. */
  unkeyed?: readonly string[];
  /** What else must hold at the sink, also when the run ended early, as sentences about what is wrong. */
  judge?(log: readonly EffectLine[]): string[];
}

const times = (count: number, about: string, ...tools: string[]): Expected[] =>
  tools.map((tool) => ({ tool, about, least: count, most: count }));

/** Four tools of four classes; what only reads is called again whenever its step is. */
const agentTools: Scene = {
  name: "agentTools",
  input: ({ sink, about }) => ({
    messages: [{ role: "user", content: JSON.stringify({ sink, about }) }],
  }),
  expected: (about) => [
    ...times(1, about, "charge", "book", "mail"),
    { tool: "read", about, least: 1, most: 6 },
  ],
  unkeyed: ["book", "mail"],
};

/** The model of that agent: four calls for the first message, then the end. All calls have the ids some models give. */
export const agentScript: Script = ({ body }): ScriptedAnswer => {
  const messages = body.messages ?? [];
  if (messages.some(({ role }) => role === "tool")) return say("done");
  const args = JSON.parse(String(messages.at(-1)?.content)) as unknown;
  const calls: ScriptedToolCall[] = ["read", "charge", "book", "mail"].map((name, n) => ({
    id: `call_${n}`,
    name,
    args,
  }));
  return { kind: "tool_calls", calls };
};

const approvals: Scene = {
  name: "approvals",
  input: (world) => world,
  answer: (payload) => ((payload as { may: string }).may === "granted" ? "yes" : "no"),
  expected: (about) => [...times(1, about, "free", "granted", "report"), ...times(0, about, "denied")],
};

const booked = ["flight", "hotel", "car"];
const undone = [...booked].reverse().map((tool) => `undo-${tool}`);

const saga: Scene = {
  name: "saga",
  input: (world) => world,
  expected: (about) => times(1, about, ...booked, ...undone),
  judge(log) {
    const order = log.filter(({ what }) => what === "committed").map(({ tool }) => tool);
    const done = order.filter((tool) => booked.includes(tool));
    const expected = [...done, ...done.map((tool) => `undo-${tool}`).reverse()];
    return order.join() === expected.join() ? [] : [`not undone, or in another order: ${order.join(" ")}`];
  },
};

export const scenes: readonly Scene[] = [agentTools, approvals, saga];
