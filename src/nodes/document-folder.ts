import { readdir, readFile, realpath, stat } from "node:fs/promises";
import path from "node:path";
import { Fatal } from "../domain/errors.ts";
import type { SourceDocument } from "../domain/finding.ts";
import { type Environment, graphEnvironment } from "../observe/environment.ts";

const documentsFolderDefault = ".holdfast/documents";
export const documentsMax = 1_000;
export const documentBytesMax = 400_000;
const textFile = /\.(txt|md)$/i;

/** The text files of a folder by name, sorted. The folder lies in DOCUMENTS_DIR: a caller must not choose what to read. */
export async function listDocuments(
  folder: string,
  environment: Environment = graphEnvironment(),
): Promise<string[]> {
  const entries = await readdir(await allowed(folder, environment), { withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isFile() && textFile.test(entry.name))
    .map((entry) => entry.name);
  if (names.length > documentsMax)
    throw new Fatal(`the folder holds ${names.length} documents, more than ${documentsMax}`, {
      code: "too_many_documents",
    });
  return names.sort();
}

/** One document of a folder. Throws Fatal when it is too large or lies elsewhere. */
export async function readDocument(
  { folder, name }: { folder: string; name: string },
  environment: Environment = graphEnvironment(),
): Promise<SourceDocument> {
  const file = await allowed(path.join(folder, name), environment);
  const { size } = await stat(file);
  if (size > documentBytesMax)
    throw new Fatal(`${name} holds ${size} bytes, more than ${documentBytesMax}`, {
      code: "document_too_large",
    });
  return { source_id: name, text: await readFile(file, "utf8") };
}

/** The real path of what was named, links followed, if it lies in the documents folder. */
async function allowed(named: string, environment: Environment): Promise<string> {
  const root = path.resolve(environment.DOCUMENTS_DIR || documentsFolderDefault);
  try {
    const [realRoot, real] = await Promise.all([realpath(root), realpath(path.resolve(root, named))]);
    if (real === realRoot || real.startsWith(realRoot + path.sep)) return real;
  } catch (cause) {
    throw new Fatal(`${named} cannot be read in the documents folder`, { code: "document_not_found", cause });
  }
  throw new Fatal(`${named} lies outside of the documents folder (DOCUMENTS_DIR)`, {
    code: "document_not_allowed",
  });
}
