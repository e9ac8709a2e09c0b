import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fileRecord } from "../../src/effects/filing.ts";
import { modelFromEnvironment } from "../../src/models/from-environment.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "holdfast-filing-"));
});
afterEach(() => rm(root, { recursive: true }));

const environment = () => ({ FILING_DIR: join(root, "filed") });
const key = "a".repeat(64);

describe("a filed record", () => {
  it("is one whole JSON file, named by its key", async () => {
    const filed = await fileRecord({ key, record: { price: 5 } }, environment());
    expect(filed).toEqual({ key, file: join(root, "filed", `${key}.json`), repeated: false });
    expect(JSON.parse(await readFile(filed.file, "utf8"))).toEqual({ key, record: { price: 5 } });
    expect(await readdir(join(root, "filed"))).toEqual([`${key}.json`]);
  });

  it("is written once for its key, and the first one stays", async () => {
    await fileRecord({ key, record: 1 }, environment());
    const again = await fileRecord({ key, record: 2 }, environment());
    expect(again.repeated).toBe(true);
    expect(JSON.parse(await readFile(again.file, "utf8"))).toEqual({ key, record: 1 });
  });

  it("leaves one whole file when two file it at once", async () => {
    await Promise.all(
      Array.from({ length: 20 }, () => fileRecord({ key, record: "x".repeat(50_000) }, environment())),
    );
    expect(await readdir(join(root, "filed"))).toEqual([`${key}.json`]);
  });

  it.each(["", "../evil", "a/b/c/d/e", "short"])(
    "takes no key that could name another file: %j",
    async (bad) => {
      await expect(fileRecord({ key: bad, record: 1 }, environment())).rejects.toMatchObject({
        code: "invalid_filing_key",
      });
    },
  );

  it("has a bounded size", async () => {
    const record = "x".repeat(1_000_000);
    await expect(fileRecord({ key, record }, environment())).rejects.toMatchObject({
      code: "record_too_large",
    });
  });
});

describe("the model of the environment", () => {
  it("is the one that is named there", () => {
    const named = { OPENAI_API_KEY: "k", OPENAI_BASE_URL: "http://127.0.0.1:1/v1", MODEL: "m" };
    expect(modelFromEnvironment({}, named)).toMatchObject({ model: "m" });
    expect(modelFromEnvironment({}, { OPENAI_API_KEY: "k", MODEL: "" })).toMatchObject({
      model: "gpt-4.1-mini",
    });
    expect(modelFromEnvironment({ model: "mine" }, named)).toMatchObject({ model: "mine" });
  });

  it("cannot be had without a key, and no retry will help", () => {
    expect(() => modelFromEnvironment({}, {})).toThrow(
      expect.objectContaining({ name: "Fatal", code: "invalid_key" }),
    );
  });
});
