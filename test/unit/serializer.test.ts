import { AIMessage, HumanMessage, ToolMessage } from "@langchain/core/messages";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dumpText, strictSerializer } from "../../src/checkpoint/serializer.ts";
import { ownType } from "../../src/db/queries/parts.ts";

const load = (text: string): Promise<unknown> =>
  strictSerializer.loadsTyped(ownType, text) as Promise<unknown>;
const again = async (value: unknown): Promise<unknown> => load(dumpText(value));

const values = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withNullPrototype: true,
  withSparseArray: true,
  key: fc.oneof(fc.string(), fc.constantFrom("$hf", "__proto__", "toJSON", "v", "constructor", "length")),
  maxDepth: 4,
});

describe("a value of a state", () => {
  it("comes back equal, whatever data it is made of", async () => {
    await fc.assert(
      fc.asyncProperty(values, async (value) => {
        expect(await again({ value })).toEqual({ value });
      }),
      { numRuns: 500 },
    );
  });

  it("is not changed by being stored, and shares nothing with what comes back", async () => {
    const inner = { at: new Date(0), list: [1, undefined, { deep: new Set([1n]) }] };
    const value = { inner, message: new HumanMessage({ content: "hello", additional_kwargs: { inner } }) };
    const back = (await again(value)) as typeof value;
    expect(value.inner).toBe(inner);
    expect(inner.at).toBeInstanceOf(Date);
    expect(back).toEqual(value);
    back.inner.list.push(2);
    (back.message.additional_kwargs.inner as typeof inner).list.push(3);
    expect(inner.list).toHaveLength(3);
    expect(back.inner.list).toHaveLength(4);
  });

  it("is stored as what it holds, not as what its toJSON would say", async () => {
    class Shown extends Array<number> {
      toJSON(): string {
        return "shown";
      }
    }
    expect(await again(Shown.from([1, 2]))).toEqual([1, 2]);
    const hidden = Object.defineProperty({ kept: 1 }, "toJSON", { value: () => "shown" });
    expect(await again(hidden)).toEqual({ kept: 1 });
  });

  it("that is a list with holes comes back with undefined in their places", async () => {
    const list = [1, 2, 3];
    delete list[1];
    expect(await again(list)).toStrictEqual([1, undefined, 3]);
  });

  it("that is a message comes back with what was changed after it was made", async () => {
    const messages = [
      new AIMessage({ id: "made", content: "a", tool_calls: [{ id: "1", name: "t", args: { n: 1 } }] }),
      new ToolMessage({ content: "b", tool_call_id: "1", artifact: new Map([["k", 1n]]) }),
    ];
    const [answer] = messages;
    if (answer !== undefined) Object.assign(answer, { id: "given", content: "changed" });
    const back = (await again(messages)) as typeof messages;
    expect(back.map((message) => message.toDict())).toEqual(messages.map((message) => message.toDict()));
    expect(back[0]).toBeInstanceOf(AIMessage);
    expect(back[0]).toMatchObject({ id: "given", content: "changed" });
  });

  it("of a class that this version does not know stays as it was stored", async () => {
    const stored = {
      $hf: "lc",
      c: "FutureMessage",
      v: { at: { $hf: "date", v: "2026-01-01T00:00:00.000Z" } },
    };
    expect(await load(JSON.stringify(stored))).toEqual(stored);
  });
});
