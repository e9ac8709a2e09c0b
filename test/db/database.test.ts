import pg from "pg";
import { expect, inject, it } from "vitest";
import { createTestDatabase } from "../support/database.ts";
import { templateName } from "../support/template.ts";

const query = async (url: string, sql: string) => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client.query(sql).finally(() => client.end());
};

it("gives every caller a database of its own, also when eight ask at once", async () => {
  const databases = await Promise.all(Array.from({ length: 8 }, createTestDatabase));
  const names = await Promise.all(
    databases.map(async ({ url }) => (await query(url, "select current_database()")).rows[0]),
  );
  expect(new Set(names.map((row) => row.current_database)).size).toBe(8);
  await Promise.all(databases.map((database) => database.drop()));
});

it("drops a database although a session is open in it", async () => {
  const { url, drop } = await createTestDatabase();
  const open = new pg.Client({ connectionString: url });
  open.on("error", () => {});
  await open.connect();
  await drop();
  await expect(query(url, "select 1")).rejects.toMatchObject({ code: "3D000" });
});

it("clones a template that is named after the migrations and closed to sessions", async () => {
  expect(inject("template")).toBe(templateName());
  const url = new URL(inject("adminUrl"));
  url.pathname = `/${inject("template")}`;
  await expect(query(url.href, "select 1")).rejects.toMatchObject({ code: "55000" });
});
