import { randomBytes } from "node:crypto";
import pg from "pg";

/** A database of the demo's own on the given server; undefined when the built-in Postgres is to be used. */
export async function demoDatabase(
  given: string | undefined,
): Promise<{ url: string; drop(): Promise<void> } | undefined> {
  if (given === undefined || given === "") return undefined;
  const name = `holdfast_demo_${randomBytes(4).toString("hex")}`;
  await onServer(given, `create database ${name}`);
  const url = new URL(given);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => onServer(given, `drop database ${name} with (force)`) };
}

async function onServer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(statement).finally(() => client.end());
}
