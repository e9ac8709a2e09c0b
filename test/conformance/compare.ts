import { isDeepStrictEqual } from "node:util";
import type { Entry } from "./record.ts";

export interface Difference {
  step: string;
  /** Where in the answer, as `/events/values/0/data/seen`. */
  path: string;
  dev: unknown;
  ours: unknown;
}

/** What differs between two recordings of one script, place by place. */
export function compare({ dev, ours }: { dev: Entry[]; ours: Entry[] }): Difference[] {
  const answers = new Map(ours.map(({ step, answer }) => [step, answer]));
  return dev.flatMap(({ step, answer }) => {
    const found: Difference[] = [];
    if (!answers.has(step)) return [{ step, path: "", dev: "asked", ours: "not asked" }];
    differ(shaped(answer), shaped(answers.get(step)), "", (path, one, other) =>
      found.push({ step, path, dev: one, ours: other }),
    );
    return found;
  });
}

/** Events are compared twice: the order of their names, and the data of each name in turn. */
function shaped(answer: unknown): unknown {
  if (typeof answer !== "object" || answer === null || !("events" in answer)) return answer;
  const events = answer.events as { event: string; data: unknown }[];
  const byName: Record<string, unknown[]> = {};
  for (const { event, data } of events) byName[event] = [...(byName[event] ?? []), data];
  return { order: events.map(({ event }) => event).join("\n"), events: byName };
}

function differ(
  one: unknown,
  other: unknown,
  path: string,
  tell: (path: string, one: unknown, other: unknown) => void,
): void {
  if (isDeepStrictEqual(one, other)) return;
  if (!bothObjects(one, other) || Array.isArray(one) !== Array.isArray(other)) {
    tell(path, one, other);
    return;
  }
  const left = one as Record<string, unknown>;
  const right = other as Record<string, unknown>;
  for (const key of new Set([...Object.keys(left), ...Object.keys(right)]))
    differ(left[key], right[key], `${path}/${key}`, tell);
}

const bothObjects = (one: unknown, other: unknown): boolean =>
  typeof one === "object" && one !== null && typeof other === "object" && other !== null;

export const shown = ({ step, path: place, dev: one, ours: other }: Difference): string =>
  `${step} ${place}: ${JSON.stringify(one)?.slice(0, 300)} there, ${JSON.stringify(other)?.slice(0, 300)} here`;
