import { appendFileSync } from "node:fs";
import { z } from "zod";
import { setFailpoints } from "./failpoint.ts";

const armed = z.object({
  /** Each hit's name is appended to this file, so that a later run can be stopped at any of them. */
  record: z.string().optional(),
  at: z
    .object({
      name: z.string(),
      /** Which hit of that name, counted from 1. */
      nth: z.number().int().min(1),
      action: z.enum(["SIGKILL", "SIGSTOP", "throw", "hang"]),
    })
    .optional(),
});

/** Arms the failpoints from the JSON in HOLDFAST_FAILPOINTS; without it they stay off. */
export function armFailpoints(text: string | undefined): void {
  if (text === undefined) return;
  const { record, at } = armed.parse(JSON.parse(text));
  const hits = new Map<string, number>();
  setFailpoints((name) => {
    const nth = (hits.get(name) ?? 0) + 1;
    hits.set(name, nth);
    if (record !== undefined) appendFileSync(record, `${name}#${nth}\n`);
    if (at === undefined || at.name !== name || at.nth !== nth) return undefined;
    if (at.action === "throw") throw new Error(`failpoint ${name}`);
    if (at.action === "hang") return new Promise(() => undefined);
    process.kill(process.pid, at.action);
    return undefined;
  });
}
