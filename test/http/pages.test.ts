import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openTestApp, type TestApp } from "../support/http.ts";

let t: TestApp;
beforeAll(async () => {
  t = await openTestApp();
});
afterAll(() => t.close());

/** Twelve rows of a megabyte and a half each, in the column that may be large. */
const searches = {
  "/threads/search": `insert into holdfast.threads (thread_id, metadata, "values")
    select gen_random_uuid(), $1, $2::text from generate_series(1, 12)`,
  "/assistants/search": `insert into holdfast.assistants (assistant_id, graph_id, name, metadata, context)
    select gen_random_uuid(), 'steps', 'large', $1, $2::text::jsonb from generate_series(1, 12)`,
  "/runs/crons/search": `insert into holdfast.crons (cron_id, tenant, principal, assistant_id, schedule, enabled, missed,
      on_run_completed, metadata, payload)
    select gen_random_uuid(), 'default', 'p', gen_random_uuid(), '* * * * *', false, 'skip', 'keep', $1, $2::text::jsonb
      from generate_series(1, 12)`,
};

describe("a page of a search", () => {
  it.each(Object.entries(searches))(
    "of %s that is too large is refused, and a smaller one is not",
    async (url, insert) => {
      const metadata = { large: crypto.randomUUID() };
      const large = JSON.stringify({ text: "x".repeat(1_500_000) });
      await t.db.query({ text: insert, values: [JSON.stringify(metadata), large] });
      expect(await t.send("POST", url, { metadata, limit: 12 })).toMatchObject({
        status: 422,
        text: expect.stringMatching(/limit: .* 18\d{6} bytes, a page may have 16777216/),
      });
      const smaller = await t.send("POST", url, { metadata, limit: 11 });
      expect(smaller.json).toHaveLength(11);
      expect(smaller.headers.get("x-pagination-total")).toBe("12");
      const behind = await t.send("POST", url, { metadata, limit: 10, offset: 20 });
      expect(behind.json).toEqual([]);
      expect(behind.headers.get("x-pagination-total")).toBe("12");
    },
  );
});
