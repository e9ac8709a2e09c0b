import { cp, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { makeStateFolder } from "./state-folder.ts";

const repository = path.resolve(import.meta.dirname, "../..");

export interface Mutation {
  /** Path below dist, e.g. `src/db/queries/checkpoints.js`. */
  file: string;
  from: RegExp;
  to: string;
}

/**
 * A zombie hears of its lost lease from the heartbeat too, and mostly before it writes: a fence must hold without that.
 */
export const deafToHeartbeats: Mutation = {
  file: "src/worker/held-runs.js",
  from: /if \(cancel === undefined\)/,
  to: "if (false)",
};

export const unfencedCheckpoints: Mutation = {
  file: "src/db/queries/checkpoint-groups.js",
  from: /r\.epoch(\s+from \(select \* from unnest[\s\S]*?) and r\.epoch = k\.epoch([\s\S]*?)where r\.status \|\| '' = 'running' order/,
  to: "k.epoch$1$2order",
};

/** A copy of the compiled program with one protection taken out, to see that a test notices. */
export async function mutantOf(mutations: Mutation[]): Promise<{ dist: string; remove(): Promise<void> }> {
  const dist = await makeStateFolder("mutant-");
  await cp(path.join(repository, "dist"), dist, { recursive: true });
  for (const { file, from, to } of mutations) {
    const target = path.join(dist, file);
    const before = await readFile(target, "utf8");
    const after = before.replace(from, to);
    if (after === before)
      throw new Error(`${file} has nothing that matches ${from}: the mutation would change nothing`);
    await writeFile(target, after);
  }
  return { dist, remove: () => rm(dist, { recursive: true, force: true }) };
}
