import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  documentBytesMax,
  documentsMax,
  listDocuments,
  readDocument,
} from "../../src/nodes/document-folder.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "holdfast-folder-"));
  await mkdir(join(root, "in"));
});
afterEach(() => rm(root, { recursive: true }));

const environment = () => ({ DOCUMENTS_DIR: root });
const put = (name: string, text = "text") => writeFile(join(root, "in", name), text);

describe("the documents folder", () => {
  it("lists text files only, sorted", async () => {
    for (const name of ["b.txt", "a.md", "c.pdf", "labels.json"]) await put(name);
    await mkdir(join(root, "in", "d.txt"));
    expect(await listDocuments("in", environment())).toEqual(["a.md", "b.txt"]);
  });

  it("takes a path inside of it, but no way out of it", async () => {
    await put("a.txt");
    await symlink("/", join(root, "in", "way-out"));
    expect(await readDocument({ folder: join(root, "in"), name: "a.txt" }, environment())).toEqual({
      source_id: "a.txt",
      text: "text",
    });
    for (const name of ["../../etc/hostname", "way-out/etc/hostname"])
      await expect(readDocument({ folder: "in", name }, environment())).rejects.toMatchObject({
        name: "Fatal",
      });
    await expect(listDocuments("/etc", environment())).rejects.toMatchObject({
      code: "document_not_allowed",
    });
    // A neighbour whose name only begins like the folder's.
    await mkdir(`${root}-2`);
    await expect(listDocuments(`${root}-2`, environment())).rejects.toMatchObject({
      code: "document_not_allowed",
    });
    await rm(`${root}-2`, { recursive: true });
  });

  it("refuses more documents, and larger ones, than it says", async () => {
    await put("large.txt", "x".repeat(documentBytesMax + 1));
    await expect(readDocument({ folder: "in", name: "large.txt" }, environment())).rejects.toMatchObject({
      code: "document_too_large",
    });
    await Promise.all(Array.from({ length: documentsMax }, (_, at) => put(`${at}.txt`, "")));
    await expect(listDocuments("in", environment())).rejects.toMatchObject({ code: "too_many_documents" });
  });
});
