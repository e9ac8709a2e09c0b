import path from "node:path";
import { Auth } from "@langchain/langgraph-sdk/auth";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { insertApiKey } from "../../src/db/queries/keys.ts";
import { accessFilter, passes } from "../../src/domain/access.ts";
import { newId } from "../../src/domain/ids.ts";
import { readProject } from "../../src/engine/project.ts";
import { makeApiKey } from "../../src/http/auth.ts";
import { type AuthUser, loadProgramAuth } from "../../src/http/program-auth.ts";
import { secretOf } from "../graphs/auth/auth.ts";
import { startUsers, type Users } from "../support/users.ts";

let u: Users;
const bobs = {
  thread: newId(),
  waiting: "",
  failed: "",
  failedThread: "",
  escalation: "",
  cron: "",
  assistant: newId(),
  delivery: newId(),
  checkpoint: "",
};

beforeAll(async () => {
  u = await startUsers();
  const bob = async (method: string, url: string, body?: unknown) => {
    const sent = await u.as("bob", method, url, body);
    expect(sent.status, `${method} ${url}: ${sent.text}`).toBeLessThan(300);
    return sent.json;
  };
  await bob("POST", "/threads", { thread_id: bobs.thread, metadata: { readers: ["reader"] } });
  const asked = { assistant_id: "asks", input: {} };
  await bob("POST", `/threads/${bobs.thread}/runs/wait`, asked);
  bobs.waiting = (await bob("GET", `/threads/${bobs.thread}/runs`))[0].run_id;
  bobs.escalation = (await bob("GET", "/escalations"))[0].escalation_id;
  bobs.checkpoint = (await bob("GET", `/threads/${bobs.thread}/state`)).checkpoint.checkpoint_id;
  bobs.failedThread = (await bob("POST", "/threads", {})).thread_id;
  await bob("POST", `/threads/${bobs.failedThread}/runs/wait`, { assistant_id: "fails", input: {} });
  bobs.failed = (await bob("GET", `/threads/${bobs.failedThread}/runs`))[0].run_id;
  bobs.cron = (await bob("POST", "/runs/crons", { assistant_id: "told", schedule: "0 0 1 1 *" })).cron_id;
  await bob("POST", "/assistants", { assistant_id: bobs.assistant, graph_id: "told", name: "bobs" });
  await u.as("bob", "PUT", "/store/items", {
    namespace: ["n"],
    key: "k",
    value: { owner: "bob", text: "hidden" },
  });
  await u.runtime.db.query({
    text: `insert into holdfast.webhook_deliveries (delivery_id, tenant, run_id, thread_id, url, run, status, ended_at)
           values ($1, 'default', $2, $3, 'https://example.org/', '{}', 'dead', now())`,
    values: [bobs.delivery, bobs.failed, bobs.failedThread],
  });
});
afterAll(() => u.close());

/** Bodies that the routes take; what matters is whose things they are about. */
const bodies: Record<string, unknown> = {
  "POST /threads": { thread_id: bobs.thread, if_exists: "do_nothing" },
  "POST /threads/prune": { thread_ids: [bobs.thread] },
  "POST /threads/:thread_id/state": { values: {} },
  "PATCH /threads/:thread_id/state": { metadata: { owner: "alice" } },
  "PATCH /threads/:thread_id": { metadata: { owner: "alice" } },
  "POST /threads/:thread_id/state/checkpoint": { checkpoint: {} },
  "POST /runs/cancel": { status: "all", thread_id: bobs.thread },
  "POST /assistants": { assistant_id: bobs.assistant, graph_id: "told", if_exists: "do_nothing" },
  "POST /assistants/:assistant_id/latest": { version: 1 },
  "PUT /store/items": { namespace: ["n"], key: "k", value: { owner: "alice" } },
  "DELETE /store/items": { namespace: ["n"], key: "k" },
  "POST /threads/:thread_id/commands": { id: 1, method: "state.get", params: {} },
  "POST /threads/:thread_id/stream/events": { channels: ["values"] },
  "POST /escalations/:id/decide": { resume: "yes" },
  "POST /dead-letters/:run_id/discard": { reason: "mine" },
  "POST /dead-letters/redrive": { filter: { graph_id: "fails" } },
  "POST /dead-letters/discard": { filter: { graph_id: "fails" }, reason: "mine" },
};
const runBody = { assistant_id: "told", input: {}, if_not_exists: "create" };
const bodyOf = (method: string, path: string): unknown => {
  const body = bodies[`${method} ${path}`];
  if (body !== undefined || method === "GET") return body;
  if (path.endsWith("/crons")) return { ...runBody, schedule: "0 0 1 1 *", if_not_exists: undefined };
  if (path === "/runs/batch") return [runBody];
  return /\/runs(\/(stream|wait))?$/.test(path) ? runBody : {};
};

/** The path with bob's ids; those that exist once for each thread. */
const withIds = (path: string): string =>
  path
    .replace(":thread_id/runs/:run_id", `${bobs.failedThread}/runs/${bobs.failed}`)
    .replace(":thread_id", bobs.thread)
    .replace(":run_id", bobs.failed)
    .replace(":assistant_id", bobs.assistant)
    .replace(":cron_id", bobs.cron)
    .replace(":delivery_id", bobs.delivery)
    .replace(":checkpoint_id", bobs.checkpoint)
    .replace("/escalations/:id", `/escalations/${bobs.escalation}`)
    .replace(":target", "host%2Fmodel")
    .replace(":namespace", "n");

const routes = (): { method: string; path: string }[] => {
  const named = u.app.routes.filter(({ method }) => method !== "ALL");
  const texts = [...new Set(named.map(({ method, path }) => `${method} ${path}`))];
  return texts.map((text) => {
    const [method = "", path = ""] = text.split(" ");
    return { method, path };
  });
};
/** What no user has a part of. */
const ofNobody = /^\/(breakers|metrics|ui)/;
const aboutBob = (text: string): string[] =>
  [...Object.values(bobs), "hidden"].filter((each) => text.includes(each));

describe("a user of the program's own auth", () => {
  it("finds nothing of another user behind any route", async () => {
    const tried: string[] = [];
    for (const { method, path } of routes()) {
      if (ofNobody.test(path)) continue;
      const query = `${method} ${path}` === "GET /store/items" ? "?namespace=n&key=k" : "";
      const sent = await u.as("alice", method, withIds(path) + query, bodyOf(method, path));
      const name = `${method} ${path}`;
      tried.push(name);
      if (/:(?!target)/.test(path)) {
        expect([name, sent.status, sent.text]).toEqual([name, 404, expect.any(String)]);
        // The refusal names nothing but what was asked for.
        expect(sent.text).not.toContain("hidden");
      } else {
        expect(sent.status, `${name}: ${sent.text}`).not.toBe(422);
        expect([name, aboutBob(sent.text)]).toEqual([name, []]);
      }
    }
    expect(tried.length).toBeGreaterThan(60);
    const item = await u.as("alice", "GET", "/store/items?namespace=n&key=k");
    expect([item.status, item.text]).toEqual([404, "Item not found"]);
  });

  it("has changed nothing of the other one's by that", async () => {
    const bob = async (url: string) => (await u.as("bob", "GET", url)).json;
    expect(await bob(`/threads/${bobs.thread}`)).toMatchObject({
      status: "interrupted",
      metadata: { owner: "bob" },
    });
    expect(await bob(`/threads/${bobs.thread}/runs`)).toHaveLength(1);
    expect(await bob(`/escalations/${bobs.escalation}`)).toMatchObject({ status: "open" });
    expect(await bob("/dead-letters")).toMatchObject([{ run_id: bobs.failed, discarded_at: null }]);
    expect(await bob(`/assistants/${bobs.assistant}`)).toMatchObject({ version: 1 });
    expect(await bob("/store/items?namespace=n&key=k")).toMatchObject({ value: { text: "hidden" } });
    expect(await bob("/webhooks")).toMatchObject([{ status: "dead" }]);
    const found = await u.as("bob", "POST", "/runs/crons/search", {});
    expect(found.json).toMatchObject([{ cron_id: bobs.cron, payload: { assistant_id: expect.any(String) } }]);
  });

  it("finds its own things behind every route that reads", async () => {
    const reading = routes().filter(({ method, path }) => method === "GET" && /:/.test(path));
    for (const { method, path } of reading.filter(({ path }) => !path.includes(":namespace"))) {
      if (ofNobody.test(path)) continue;
      // One never ends, the other is a WebSocket, which has a test of its own.
      if (/^\/threads\/:thread_id\/stream(\/events)?$/.test(path)) continue;
      const sent = await u.as("bob", method, withIds(path));
      expect([path, sent.status]).toEqual([path, 200]);
    }
    for (const kind of ["threads", "assistants", "runs/crons"]) {
      const count = async (user: string) => (await u.as(user, "POST", `/${kind}/count`, {})).json;
      expect([kind, (await count("bob")) > 0, await count("carol")]).toEqual([kind, true, 0]);
    }
  });

  it("is refused by name: 401 as the program says, 403 where a handler says no or the thread is only to be read", async () => {
    const refused = await u.as(null, "GET", "/ok");
    expect([refused.status, refused.text, refused.headers.get("x-why")]).toEqual([
      401,
      "who are you?",
      "no token",
    ]);
    const studio = await u.as(null, "GET", `/threads/${bobs.thread}`, undefined, {
      "x-auth-scheme": "langsmith",
    });
    expect(studio.status).toBe(401);
    expect((await u.as("reader", "DELETE", `/threads/${bobs.thread}`)).status).toBe(403);
    expect((await u.as("reader", "GET", `/threads/${bobs.thread}`)).status).toBe(200);
    const update = await u.as("reader", "POST", `/threads/${bobs.thread}/state`, { values: {} });
    expect(update.status).toBe(403);
    for (const path of ["/info", "/livez", "/readyz"])
      expect((await u.as(null, "GET", path)).status).toBe(200);
  });

  it("does not reach what concerns every user: that needs a key of the server", async () => {
    expect((await u.as("alice", "GET", "/breakers")).status).toBe(403);
    expect((await u.as("alice", "POST", "/breakers/a%2Fb/open")).status).toBe(403);
    expect((await u.as("alice", "GET", "/metrics")).status).toBe(403);
    const { key, prefix, hash } = makeApiKey();
    await insertApiKey(u.runtime.db, { keyId: newId(), tenant: "default", name: "ops", prefix, hash });
    const ops = { "x-api-key": key };
    expect((await u.as(null, "GET", "/breakers", undefined, ops)).status).toBe(200);
    expect((await u.as(null, "GET", `/threads/${bobs.thread}`, undefined, ops)).status).toBe(200);
    expect((await u.as("alice", "GET", "/ok", undefined, { "x-api-key": `${key}x` })).status).toBe(401);
  });
});

describe("a run", () => {
  it("is told who asked for it, and with which headers; what may be secret is shown nowhere", async () => {
    const body = {
      assistant_id: "told",
      input: {},
      stream_mode: ["values", "updates", "debug", "tasks", "checkpoints"],
    };
    const forged = {
      configurable: { langgraph_auth_user: { identity: "bob" }, langgraph_auth_user_id: "bob" },
    };
    const headers = { "x-trace": "t-1", "x-api-key": "theirs", "user-agent": "test" };
    const sent = await u.as("alice", "POST", "/threads", {});
    const thread = `/threads/${sent.json.thread_id}`;
    const streamed = await u.as(
      "alice",
      "POST",
      `${thread}/runs/stream`,
      { ...body, config: forged },
      headers,
    );
    const { told } = (await u.as("alice", "GET", `${thread}/state`)).json.values;
    expect(told).toMatchObject({
      id: "alice",
      permissions: ["role:alice"],
      user: { identity: "alice", is_authenticated: true, display_name: "alice" },
      hadToken: true,
      headers: { "x-trace": "t-1", "user-agent": "test" },
    });
    expect(told.headers).not.toHaveProperty("x-api-key");
    const shown = [streamed.text];
    for (const path of ["", "/runs", "/history", "/state", "/explain"])
      shown.push((await u.as("alice", "GET", thread + path)).text);
    const { rows } = await u.runtime.db.query({ text: "select * from holdfast.run_events", values: [] });
    expect(rows.length).toBeGreaterThan(3);
    expect(shown.join().includes(secretOf("alice"))).toBe(false);
    expect(JSON.stringify(rows).includes(secretOf("alice"))).toBe(false);
    expect((await u.as("alice", "GET", thread)).text).not.toContain("langgraph_auth_user");
  });

  it("of a user without a thread makes one that only that user sees", async () => {
    const made = await u.as("alice", "POST", "/runs", {
      assistant_id: "told",
      input: {},
      on_completion: "keep",
    });
    expect(made.status).toBe(200);
    const path = `/threads/${made.json.thread_id}`;
    expect((await u.as("alice", "GET", path)).json.metadata).toMatchObject({ owner: "alice" });
    expect((await u.as("carol", "GET", path)).status).toBe(404);
  });

  it("is not another user's through the same Idempotency-Key", async () => {
    const keyed = { "idempotency-key": "same" };
    const made = async (user: string) =>
      (await u.as(user, "POST", "/runs", { assistant_id: "told", input: {} }, keyed)).json.run_id;
    const first = await made("alice");
    expect(await made("alice")).toBe(first);
    expect(await made("carol")).not.toBe(first);
  });

  it("of an answer is the answering user's, whoever asked", async () => {
    const thread = (await u.as("alice", "POST", "/threads", {})).json.thread_id;
    await u.as("alice", "POST", `/threads/${thread}/runs/wait`, { assistant_id: "asks", input: {} });
    const [question] = (await u.as("alice", "GET", `/escalations?thread_id=${thread}`)).json;
    const decided = await u.as("alice", "POST", `/escalations/${question.escalation_id}/decide`, {
      resume: "yes",
    });
    expect(decided.json.run.kwargs.config.configurable).toMatchObject({ langgraph_auth_user_id: "alice" });
    expect(decided.text).not.toContain(secretOf("alice"));
  });

  it("carries so many bytes of headers and no more", async () => {
    const headers = { "x-large": "a".repeat(8 * 1024) };
    const sent = await u.as("alice", "POST", "/runs", { assistant_id: "told", input: {} }, headers);
    expect(sent.status).toBe(431);
  });
});

describe("an auth.path of langgraph.json", () => {
  const file = path.resolve(import.meta.dirname, "../graphs/auth/langgraph.json");
  const load = async (target: string, exported: Record<string, unknown>) =>
    loadProgramAuth({ ...(await readProject(file)), auth: { path: target } }, async () => exported);

  it("that names something else is refused with the file, the export and what was found", async () => {
    await expect(load("./auth.ts:auth", { auth: 7, other: 1 })).rejects.toThrow(
      /langgraph\.json: auth\.path: \.\/auth\.ts exports auth, other.*"auth" is a number.*must be an Auth/,
    );
    await expect(load("./none.ts:auth", {})).rejects.toThrow(/auth\.path names \.\/none\.ts.*no such file/);
    await expect(load("./auth.ts:auth", { auth: new Auth().on("*", () => true) })).rejects.toThrow(
      /auth\.path: .*no authenticate handler/,
    );
  });

  it("has handlers asked by the narrowest name, and one that fails lets nobody through", async () => {
    const asked: string[] = [];
    const named = (name: string) => () => {
      asked.push(name);
      return true;
    };
    const auth = new Auth()
      .authenticate((request) => request.headers.get("who") as string)
      .on("threads:read", named("threads:read"))
      .on("threads", named("threads"))
      .on("*:read", named("*:read"))
      .on("*", named("*"))
      .on("store", () => ({ owner: undefined as unknown as string }));
    const loaded = await load("./auth.ts:auth", { auth });
    const user = await loaded?.authenticate(new Request("http://x/", { headers: { who: "dana" } }));
    const ask = async (resource: string, action: string) =>
      loaded?.ask({ resource, action, value: {}, user: user as AuthUser });
    for (const [resource, action] of [
      ["threads", "read"],
      ["threads", "search"],
      ["crons", "read"],
      ["crons", "search"],
    ])
      expect(await ask(resource as string, action as string)).toBeNull();
    expect(asked).toEqual(["threads:read", "threads", "*:read", "*"]);
    await expect(ask("store", "get")).rejects.toThrow(/owner: a filter/);
    await expect(loaded?.authenticate(new Request("http://x/"))).rejects.toMatchObject({ status: 401 });
  });
});

it("a filter means the same in SQL, where searches use it, as where one thing is looked at", async () => {
  const scalars = [null, "", "x", 1, true];
  const values = [...scalars, ["x"], ["x", 1, null], [["x"]], { x: 1 }, []];
  const filters = [
    ...scalars,
    ...scalars.map(($eq) => ({ $eq })),
    { $contains: "x" },
    { $contains: ["x", 1] },
    { $contains: [] },
  ];
  for (const wanted of filters) {
    const filter = accessFilter({ k: wanted });
    const found = await u.runtime.db.query({
      text: "select jsonb_build_object('k', v) @> $2::jsonb as passes from jsonb_array_elements($1::jsonb) v",
      values: [JSON.stringify(values), JSON.stringify(filter)],
    });
    const inSql = found.rows.map((row) => row.passes);
    expect([wanted, inSql]).toEqual([wanted, values.map((v) => passes({ k: v }, filter))]);
  }
});
