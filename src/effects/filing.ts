import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { Fatal } from "../domain/errors.ts";
import { type Environment, graphEnvironment } from "../observe/environment.ts";

const filingFolderDefault = ".holdfast/filed";
const recordBytesMax = 1_000_000;
/** A ledger key is a digest; nothing else may become a file name. */
const keyShape = /^[\w-]{8,128}$/;

export interface Filed {
  key: string;
  file: string;
  /** True when this key had been filed before. */
  repeated: boolean;
}

/**
 * Files a record under an idempotency key: append-only, one JSON file for each key, the first one stays. It stands
 * for the outside world that honours a key, so call it through `effect`. The folder is FILING_DIR.
 */
export async function fileRecord(
  { key, record }: { key: string; record: unknown },
  environment: Environment = graphEnvironment(),
): Promise<Filed> {
  if (!keyShape.test(key))
    throw new Fatal("the key of a filed record must be a digest", { code: "invalid_filing_key" });
  const folder = path.resolve(environment.FILING_DIR || filingFolderDefault);
  const file = path.join(folder, `${key}.json`);
  const text = `${JSON.stringify({ key, record })}\n`;
  if (Buffer.byteLength(text) > recordBytesMax)
    throw new Fatal(`a filed record holds at most ${recordBytesMax} bytes`, { code: "record_too_large" });
  await mkdir(folder, { recursive: true });
  if (await exists(file)) return { key, file, repeated: true };
  await writeWhole(folder, file, text);
  return { key, file, repeated: false };
}

/** Written aside, flushed, then renamed: a crash leaves the whole record or none. */
async function writeWhole(folder: string, file: string, text: string): Promise<void> {
  const aside = `${file}.${randomUUID()}.tmp`;
  try {
    await write(aside, text);
    await rename(aside, file);
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
  await syncFolder(folder);
}

async function write(file: string, text: string): Promise<void> {
  const handle = await open(file, "wx");
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The name is durable only when the folder is; Windows cannot open one and needs no such flush. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await readFile(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
