import { setTimeout as wait } from "node:timers/promises";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { commitOf, type PostgresProxy, startPostgresProxy } from "../support/postgres-proxy.ts";

function targetOf(url: string): { host: string; port: number } {
  const parsed = new URL(url);
  return {
    host: parsed.searchParams.get("host") ?? (parsed.hostname || "127.0.0.1"),
    port: Number(parsed.port || 5432),
  };
}

describe("a Postgres link through the proxy", () => {
  const url = inject("adminUrl");
  const table = `proxy_trial_${process.pid}`;
  const clients: pg.Client[] = [];
  let proxy: PostgresProxy;
  let direct: pg.Client;

  beforeEach(async () => {
    proxy = await startPostgresProxy(targetOf(url));
    direct = new pg.Client({ connectionString: url });
    await direct.connect();
    await direct.query(`create table if not exists ${table} (id int)`);
    await direct.query(`truncate ${table}`);
  });

  afterEach(async () => {
    for (const client of clients.splice(0)) await client.end().catch(() => undefined);
    await proxy.stop();
    await direct.query(`drop table ${table}`);
    await direct.end();
  });

  async function connect(): Promise<{ client: pg.Client; lost: Promise<Error> }> {
    const client = new pg.Client({ connectionString: proxy.url(url), connectionTimeoutMillis: 2_000 });
    const lost = new Promise<Error>((resolve) => client.on("error", resolve));
    await client.connect();
    clients.push(client);
    return { client, lost };
  }

  const rows = async () => Number((await direct.query(`select count(*) from ${table}`)).rows[0].count);
  const failing = (promise: Promise<unknown>) =>
    promise.then(
      () => undefined,
      (error: Error) => error,
    );

  it("works like the link itself, for several clients and large answers", async () => {
    const all = await Promise.all([connect(), connect(), connect()]);
    const answers = await Promise.all(
      all.map(({ client }, n) => client.query("select $1::int as n, repeat('x', 3000000) as long", [n])),
    );
    expect(answers.map(({ rows: [row] }) => [row.n, row.long.length])).toEqual([
      [0, 3_000_000],
      [1, 3_000_000],
      [2, 3_000_000],
    ]);
    expect(proxy.counters).toMatchObject({ linksOpened: 3, linksOpen: 3, statements: 3, cuts: 0 });
  });

  it("is refused TLS and goes on in the clear when it may", async () => {
    const client = new pg.Client({ connectionString: proxy.url(url), ssl: { rejectUnauthorized: false } });
    await expect(client.connect()).rejects.toThrow(/SSL/);
  });

  it("loses the answer to a COMMIT that the server has done", async () => {
    const { client } = await connect();
    const cut = proxy.cutAfterServerCommit("commit");
    await client.query("begin");
    await client.query(`insert into ${table} values (1)`);
    expect(await failing(client.query("commit"))).toBeInstanceOf(Error);
    expect(await cut).toEqual({ sql: "commit", when: "after-commit", tags: ["COMMIT"], failed: false });
    expect(await rows()).toBe(1);
  });

  it("loses the answer to a single prepared statement that the server has done", async () => {
    const { client } = await connect();
    const cut = proxy.cutAfterServerCommit(/^insert/);
    const insert = { name: "put", text: `insert into ${table} values ($1)`, values: [1] };
    expect(await failing(client.query(insert))).toBeInstanceOf(Error);
    expect(await cut).toMatchObject({ tags: ["INSERT 0 1"], failed: false });
    expect(await rows()).toBe(1);
  });

  it("finds a prepared statement that is run again without its text", async () => {
    const { client } = await connect();
    const insert = { name: "put", text: `insert into ${table} values ($1)`, values: [1] };
    await client.query(insert);
    void proxy.cutBeforeSend("insert");
    expect(await failing(client.query(insert))).toBeInstanceOf(Error);
    expect(await rows()).toBe(1);
  });

  it("breaks only the COMMIT of the transaction that was meant", async () => {
    const { client } = await connect();
    const cut = proxy.cutAfterServerCommit(commitOf(/values \(2\)/));
    for (const n of [1, 2]) {
      await client.query("begin");
      await client.query(`insert into ${table} values (${n})`);
      const ended = await failing(client.query("commit"));
      expect(ended instanceof Error).toBe(n === 2);
    }
    expect((await cut).tags).toEqual(["COMMIT"]);
    expect(await rows()).toBe(2);
    expect(proxy.counters).toMatchObject({ commits: 2, cuts: 1 });
  });

  it("breaks before the statement reaches the server", async () => {
    const { client } = await connect();
    const cut = proxy.nextCut();
    void proxy.cutBeforeSend("commit");
    await client.query("begin");
    await client.query(`insert into ${table} values (1)`);
    expect(await failing(client.query("commit"))).toBeInstanceOf(Error);
    expect(await cut).toMatchObject({ sql: "commit", when: "before-send" });
    expect(await rows()).toBe(0);
  });

  it("says when the server refused the statement whose answer was lost", async () => {
    const { client } = await connect();
    const cut = proxy.cutAfterServerCommit("no_such_table");
    await failing(client.query("insert into no_such_table values (1)"));
    expect(await cut).toMatchObject({ tags: [], failed: true });
  });

  it("hears nothing while half open, and is reset when the weather clears", async () => {
    const { client, lost } = await connect();
    await client.query("select 1");
    proxy.halfOpen();
    const answer = failing(client.query("select 2"));
    const first = await Promise.race([answer, lost, wait(200, "silence")]);
    expect(first).toBe("silence");
    await expect(connect()).rejects.toThrow(/timeout/);
    expect(proxy.counters.droppedBytes).toBeGreaterThan(0);
    proxy.heal();
    expect(await answer).toBeInstanceOf(Error);
    const { client: next } = await connect();
    expect((await next.query("select 3 as n")).rows).toEqual([{ n: 3 }]);
  });

  it("keeps a server session open while half open, though the client has gone", async () => {
    const { client } = await connect();
    const { pid } = (await client.query("select pg_backend_pid() as pid")).rows[0];
    proxy.halfOpen();
    Reflect.get(client, "connection").stream.destroy();
    await wait(100);
    const seen = await direct.query("select 1 from pg_stat_activity where pid = $1", [pid]);
    expect(seen.rowCount).toBe(1);
  });

  it("waits while one direction is stalled, and loses nothing", async () => {
    const { client } = await connect();
    proxy.stall("toClient");
    const answer = client.query(`insert into ${table} values (1) returning id`);
    expect(await Promise.race([answer, wait(200, "silence")])).toBe("silence");
    expect(await rows()).toBe(1);
    proxy.heal();
    expect((await answer).rows).toEqual([{ id: 1 }]);
  });

  it("is slow by the delay, once in each direction", async () => {
    const { client } = await connect();
    proxy.delay(60);
    const from = performance.now();
    await client.query("select 1");
    expect(performance.now() - from).toBeGreaterThanOrEqual(115);
    proxy.heal();
    expect((await client.query("select 1 as n")).rows).toEqual([{ n: 1 }]);
  });

  it("is reset at once, and new links work", async () => {
    const { lost } = await connect();
    proxy.reset();
    expect((await lost).message).toMatch(/ECONNRESET|terminated/);
    const { client } = await connect();
    expect((await client.query("select 1 as n")).rows).toEqual([{ n: 1 }]);
  });

  it("is refused until the weather clears", async () => {
    proxy.refuse();
    await expect(connect()).rejects.toThrow();
    proxy.heal();
    await connect();
    expect(proxy.counters.linksOpened).toBe(1);
  });
});
