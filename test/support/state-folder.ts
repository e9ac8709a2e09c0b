import { mkdir, mkdtemp } from "node:fs/promises";
import path from "node:path";

const state = path.resolve(import.meta.dirname, "../../.holdfast");

/** A new folder below the repository, so that packages are found from it, and apart from all that is read as a whole. */
export async function makeStateFolder(prefix: string): Promise<string> {
  await mkdir(state, { recursive: true });
  return mkdtemp(path.join(state, prefix));
}
