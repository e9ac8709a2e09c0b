import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeProject } from "../../src/new-project.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "holdfast-new-"));
  await mkdir(path.join(folder, "full"));
  await writeFile(path.join(folder, "full/keep.txt"), "mine");
  await writeFile(path.join(folder, "file"), "mine");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("holdfast new", () => {
  it.each([
    [["full"], /full is not empty: nothing was written/],
    [["file"], /is there already, and is no folder/],
    [["../elsewhere"], /cannot be the name of a project/],
    [["My Agent"], /cannot be the name of a project/],
    [[".hidden"], /cannot be the name of a project/],
    [["node_modules"], /cannot be the name of a project/],
    [[], /usage: holdfast new NAME/],
    [["two", "names"], /usage: holdfast new NAME/],
  ])("refuses %j, and writes nothing", async (names, message) => {
    await expect(writeProject(folder, names)).rejects.toThrow(message);
    expect((await readdir(folder)).sort()).toEqual(["file", "full"]);
    expect(await readdir(path.join(folder, "full"))).toEqual(["keep.txt"]);
  });
});
