import { tool } from "@langchain/core/tools";
import { declareTool, effect } from "holdfast";
import { z } from "zod";

export const sent: Promise<{ ok: boolean }> = effect(
  { name: "send", class: "idempotent", args: { to: "a" } },
  async (key) => ({ ok: key.length > 0 }),
);

// @ts-expect-error: there is no such class. Types that could not be found would be `any`, and no error.
export const wrong = effect({ name: "send", class: "sometimes", args: {} }, async () => ({ ok: true }));

export const pay = declareTool(
  tool(async ({ cents }) => cents, {
    name: "pay",
    description: "Pays.",
    schema: z.object({ cents: z.int() }),
  }),
  { class: "at_most_once" },
);
