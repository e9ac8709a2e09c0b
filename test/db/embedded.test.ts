import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { findServer } from "../../src/db/embedded/postmaster.ts";
import { anyLivesIn, isAlive } from "../../src/db/embedded/processes.ts";
import { startEmbeddedPostgres } from "../../src/db/embedded.ts";
import { killChildren, killed, query, serversBelow, startInChild } from "../support/embedded-process.ts";

const root = process.geteuid?.() === 0;
const nobody = { uid: 65_534, gid: 65_534 };
const log = { info: () => {} };
let base: string;
/** A stopped, empty cluster: copying it saves the tests the half second of initdb. */
let made: string;

const start = (dataDir: string, more: { settings?: Record<string, string>; stopOnExit?: boolean } = {}) =>
  startEmbeddedPostgres({ dataDir, log, ...more });

function copyOfMade(): string {
  const dataDir = path.join(mkdtempSync(path.join(base, "t-")), "pg");
  for (const end of ["", ".mode", ".password"]) cpSync(made + end, dataDir + end, { recursive: true });
  // Node 24 copies no modes of folders, and Postgres insists on this one.
  chmodSync(dataDir, 0o700);
  return dataDir;
}

const emptyPlace = (): string => path.join(mkdtempSync(path.join(base, "t-")), "pg");

beforeAll(async () => {
  base = mkdtempSync(path.join(os.tmpdir(), "holdfast-embedded-"));
  chmodSync(base, 0o777);
  made = path.join(base, "made");
  await (await start(made)).stop();
});

afterEach(async () => {
  await killChildren();
  for (const pid of serversBelow(base)) process.kill(pid, "SIGKILL");
});

afterAll(() => rmSync(base, { recursive: true, force: true }));

describe("starting", () => {
  it("makes an empty database and keeps it for the next start", async () => {
    const dataDir = path.join(emptyPlace(), "deeper", "pg");
    const cold = await start(dataDir);
    expect(cold.how).toBe("started");
    await query(cold.url, "create table kept as select 7 as n");
    await cold.stop();
    const warm = await start(dataDir);
    expect(warm.how).toBe("started");
    expect(await query(warm.url, "select n from kept")).toEqual([{ n: 7 }]);
    await warm.stop();
  });

  it("keeps the settings that make a commit safe, and takes ours and the caller's", async () => {
    const server = await start(copyOfMade(), { settings: { max_connections: "33" } });
    const settings = await query(
      server.url,
      `select name, setting from pg_settings where name in ('fsync', 'full_page_writes', 'synchronous_commit',
         'max_connections', 'shared_buffers', 'listen_addresses', 'unix_socket_directories')`,
    );
    expect(Object.fromEntries(settings.map((row) => [row.name, row.setting]))).toEqual({
      fsync: "on",
      full_page_writes: "on",
      synchronous_commit: "on",
      max_connections: "33",
      shared_buffers: "16384",
      listen_addresses: "127.0.0.1",
      unix_socket_directories: "",
    });
    await server.stop();
  });

  it("refuses everybody who does not have the password, which only its owner can read", async () => {
    const dataDir = copyOfMade();
    const server = await start(dataDir);
    const wrong = new URL(server.url);
    wrong.password = "guess";
    await expect(query(wrong.href, "select 1")).rejects.toMatchObject({ code: "28P01" });
    expect(statSync(`${dataDir}.password`).mode & 0o777).toBe(0o600);
    expect(readFileSync(path.join(dataDir, "pg_hba.conf"), "utf8")).not.toMatch(/^[^#].*\btrust$/m);
    await server.stop();
  });

  it("gives three starters at once one server", async () => {
    const dataDir = emptyPlace();
    const started = await Promise.all([1, 2, 3].map(() => startInChild(dataDir)));
    const servers = started.map(({ server }) => server);
    expect(new Set(servers.map(({ pid }) => pid)).size).toBe(1);
    expect(servers.map(({ how }) => how).sort()).toEqual(["adopted", "adopted", "started"]);
    for (const { url } of servers) expect(await query(url, "select 1 as n")).toEqual([{ n: 1 }]);
    expect(serversBelow(dataDir)).toHaveLength(1);
  });

  it("recovers from an initdb that was killed", async () => {
    const dataDir = emptyPlace();
    const dead = execFileSync("sh", ["-c", "echo $$"], { encoding: "utf8" }).trim();
    const scratch = `${dataDir}.init-${dead}-abcd`;
    mkdirSync(path.join(scratch, "data", "base"), { recursive: true });
    const server = await start(dataDir);
    expect(await query(server.url, "select 1 as n")).toEqual([{ n: 1 }]);
    expect(existsSync(scratch)).toBe(false);
    await server.stop();
  });
});

describe("stopping", () => {
  it("ends the server although sessions are open, and may be called twice", async () => {
    const dataDir = copyOfMade();
    const server = await start(dataDir);
    const open = new pg.Client({ connectionString: server.url });
    open.on("error", () => {});
    await open.connect();
    await server.stop();
    await server.stop();
    expect(isAlive(server.pid)).toBe(false);
    // The last of its processes may take a moment to be reaped.
    await expect.poll(() => anyLivesIn(dataDir), { timeout: 5_000 }).toBe(false);
    await expect(query(server.url, "select 1")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("leaves an adopted server running unless it was taken over", async () => {
    const dataDir = copyOfMade();
    const first = await start(dataDir);
    const guest = await start(dataDir);
    await guest.stop();
    expect(isAlive(first.pid)).toBe(true);
    const heir = await start(dataDir, { stopOnExit: true });
    expect(heir).toMatchObject({ how: "adopted", pid: first.pid });
    await heir.stop();
    expect(isAlive(first.pid)).toBe(false);
  });
});

describe("after a crash", () => {
  it("adopts the server that outlived its starter", async () => {
    const dataDir = copyOfMade();
    const { child, server } = await startInChild(dataDir);
    await query(server.url, "create table kept as select 7 as n");
    await killed(child);
    const next = await start(dataDir, { stopOnExit: true });
    expect(next).toMatchObject({ how: "adopted", pid: server.pid, url: server.url });
    expect(await query(next.url, "select n from kept")).toEqual([{ n: 7 }]);
    await next.stop();
  });

  it("starts again with every committed row when everything was killed, on the same port", async () => {
    const dataDir = copyOfMade();
    const { child, server } = await startInChild(dataDir);
    await query(server.url, "create table kept (n int)");
    const session = new pg.Client({ connectionString: server.url });
    session.on("error", () => {});
    await session.connect();
    for (let n = 0; n < 100; n += 1) await session.query("insert into kept values ($1)", [n]);
    process.kill(server.pid, "SIGKILL");
    await killed(child);
    const next = await start(dataDir);
    expect(next).toMatchObject({ how: "started", url: server.url });
    expect(await query(next.url, "select count(*)::int as n from kept")).toEqual([{ n: 100 }]);
    await next.stop();
  });

  it("is not misled by a lock whose process id now belongs to somebody else", async () => {
    const dataDir = copyOfMade();
    const lock = path.join(dataDir, "postmaster.pid");
    writeFileSync(lock, [process.pid, dataDir, 1, 5_432, "", "127.0.0.1", "", "ready"].join("\n"));
    expect(findServer(dataDir)).toBeUndefined();
    const server = await start(dataDir);
    expect(server.how).toBe("started");
    await server.stop();
  });

  it("never starts a second server while sessions of a killed one still work", async () => {
    const dataDir = copyOfMade();
    const { server } = await startInChild(dataDir);
    const session = new pg.Client({ connectionString: server.url });
    session.on("error", () => {});
    await session.connect();
    const [row] = (await session.query("select pg_backend_pid() as pid")).rows;
    process.kill(row.pid, "SIGSTOP");
    process.kill(server.pid, "SIGKILL");
    let early = true;
    const next = start(dataDir).finally(() => {
      early = false;
    });
    await sleep(1_200);
    expect(early).toBe(true);
    process.kill(row.pid, "SIGCONT");
    await (await next).stop();
  });
});

describe("clear errors", () => {
  it("quotes the log, and soon, when the server cannot start", async () => {
    const startedAt = Date.now();
    await expect(start(copyOfMade(), { settings: { no_such_setting: "1" } })).rejects.toThrow(
      /did not start.*DATABASE_URL.*unrecognized configuration parameter "no_such_setting"/s,
    );
    expect(Date.now() - startedAt).toBeLessThan(5_000);
  });

  it("names the version that made the data", async () => {
    const dataDir = copyOfMade();
    writeFileSync(path.join(dataDir, "PG_VERSION"), "15\n");
    await expect(start(dataDir)).rejects.toThrow(/made by Postgres 15, this is 18.*DATABASE_URL/);
  });

  it("does not touch a folder that holds something else", async () => {
    const dataDir = emptyPlace();
    mkdirSync(dataDir);
    writeFileSync(path.join(dataDir, "letters.txt"), "dear");
    await expect(start(dataDir)).rejects.toThrow(/neither empty nor a Postgres data folder/);
    expect(readFileSync(path.join(dataDir, "letters.txt"), "utf8")).toBe("dear");
  });

  it("asks for the password file when that is lost", async () => {
    const dataDir = copyOfMade();
    rmSync(`${dataDir}.password`);
    await expect(start(dataDir)).rejects.toThrow(/lost its password file/);
    writeFileSync(`${dataDir}.password`, "another");
    await expect(start(dataDir)).rejects.toThrow(/refuses the password/);
  });
});

const readable =
  root && spawnSync(process.execPath, ["-e", ""], { ...nobody, cwd: import.meta.dirname }).status === 0;

describe.skipIf(!readable)("as another user (needs root, and a checkout that others may read)", () => {
  it("runs directly for an ordinary user, and root is told whose folder it is", async () => {
    const dataDir = emptyPlace();
    chmodSync(path.dirname(dataDir), 0o777);
    const { child, server } = await startInChild(dataDir, { ids: nobody });
    expect(statSync(dataDir).uid).toBe(nobody.uid);
    expect(await query(server.url, "select 1 as n")).toEqual([{ n: 1 }]);
    await expect(start(dataDir)).rejects.toThrow(/was made by an ordinary user, not by you/);
    await killed(child);
  });

  it("tells an ordinary user that the folder belongs to root, or cannot be written", async () => {
    const closed = mkdtempSync(path.join(base, "t-"));
    chmodSync(closed, 0o755);
    await expect(startInChild(path.join(closed, "pg"), { ids: nobody })).rejects.toThrow(
      /is not writable by user id 65534/,
    );
    const dataDir = copyOfMade();
    chmodSync(path.dirname(dataDir), 0o755);
    await expect(startInChild(dataDir, { ids: nobody })).rejects.toThrow(/was made by user id 0, not by you/);
  });

  it("changes to the user nobody where root may not make a namespace", async () => {
    const dataDir = emptyPlace();
    chmodSync(path.dirname(dataDir), 0o755);
    writeFileSync(`${dataDir}.mode`, "setuid");
    const server = await start(dataDir);
    expect(statSync(dataDir).uid).toBe(nobody.uid);
    expect(await query(server.url, "select 1 as n")).toEqual([{ n: 1 }]);
    await server.stop();
  });

  it("puts the data elsewhere when nobody cannot enter the folder", async () => {
    const dataDir = emptyPlace();
    writeFileSync(`${dataDir}.mode`, "setuid");
    const server = await start(dataDir);
    const [row] = await query(server.url, "select current_setting('data_directory') as home");
    expect(row.home).toMatch(/^\/var\/lib\/holdfast\//);
    expect(statSync(row.home).uid).toBe(nobody.uid);
    expect(existsSync(dataDir)).toBe(false);
    await server.stop();
    rmSync(row.home, { recursive: true });
  });

  it("adopts the server of nobody without the right to look into foreign processes, as in a container", async () => {
    const dataDir = emptyPlace();
    chmodSync(path.dirname(dataDir), 0o755);
    writeFileSync(`${dataDir}.mode`, "setuid");
    const through = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"];
    const first = await startInChild(dataDir, { through });
    const second = await startInChild(dataDir, { through });
    expect(second.server).toMatchObject({ how: "adopted", pid: first.server.pid });
    process.kill(first.server.pid, "SIGKILL");
    const third = await startInChild(dataDir, { through });
    expect(third.server).toMatchObject({ how: "started", url: first.server.url });
  });
});
