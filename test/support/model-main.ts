// A model server in a process of its own, with faults by seed. It ends with its parent.
import { drawFor } from "../chaos/dice.ts";
import { type ScriptedAnswer, say, startModelServer } from "./model-server.ts";

export interface FaultyModel {
  seed: number;
  /** Share of the requests that fail. */
  faultRate: number;
}

const faults: readonly ScriptedAnswer[] = [
  { kind: "status", status: 500 },
  { kind: "status", status: 503 },
  { kind: "status", status: 429, headers: { "retry-after": "1" } },
  { kind: "cut" },
];

const { seed, faultRate } = JSON.parse(process.argv[2] ?? "{}") as FaultyModel;
const asked = new Map<string, number>();
const server = await startModelServer({
  requestsMax: 1_000_000,
  script: ({ text }) => {
    const nth = (asked.get(text) ?? 0) + 1;
    asked.set(text, nth);
    if (drawFor(seed, text, nth) >= faultRate) return say(`do it for ${text}`);
    return faults[Math.floor(drawFor(seed, text, nth, "which") * faults.length)] ?? say(text);
  },
});
process.stdout.write(`${server.url}\n`);
process.stdin.resume().once("end", () => process.exit());
