import { describe, expect, it } from "vitest";
import { loadStoreIndex } from "../../src/engine/store-index.ts";

const project = (embed: string) => ({
  file: "langgraph.json",
  folder: import.meta.dirname,
  store: { index: { embed, dims: 2, fields: ["$"] } },
});
const here = "./store-index.test.ts";
const exporting = (name: string, value: unknown) => async () => ({ [name]: value });

describe("store.index of a langgraph.json", () => {
  it("may be left out", async () => {
    expect(await loadStoreIndex({ ...project(""), store: {} }, exporting("x", 1))).toBeNull();
  });

  it.each([
    ["a function", async (texts: string[]) => texts.map(() => [0, 1])],
    [
      "Embeddings of LangChain",
      {
        embedDocuments: async (texts: string[]) => texts.map(() => [0, 1]),
        embedQuery: async () => [0, 1],
      },
    ],
  ])("may be %s of a module", async (_what, embed) => {
    const index = await loadStoreIndex(project(`${here}:embed`), exporting("embed", embed));
    expect(index).toMatchObject({ name: `${here}:embed/2`, dimensions: 2 });
    expect(await index?.embed.documents(["a", "b"])).toEqual([
      [0, 1],
      [0, 1],
    ]);
    expect(await index?.embed.query("a")).toEqual([0, 1]);
  });

  it("names the field, the file and what was found when it is something else", async () => {
    await expect(loadStoreIndex(project(`${here}:embed`), exporting("embed", 7))).rejects.toThrow(
      /store\.index\.embed: \.\/store-index\.test\.ts exports embed, and "embed" is a number; "embed" must be Embeddings/,
    );
    await expect(loadStoreIndex(project("./gone.ts:embed"), exporting("embed", 7))).rejects.toThrow(
      /store\.index\.embed names \.\/gone\.ts, but there is no such file/,
    );
    await expect(loadStoreIndex(project("cohere:embed-v3"), exporting("embed", 7))).rejects.toThrow(
      /store\.index\.embed is "cohere:embed-v3": of the providers only "openai:…"/,
    );
  });
});
