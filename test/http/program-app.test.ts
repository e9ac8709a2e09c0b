import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { readProject } from "../../src/engine/project.ts";
import { createApp } from "../../src/http/app.ts";
import { httpDefaults } from "../../src/http/deps.ts";
import { loadProgramApp } from "../../src/http/program-app.ts";
import { openLog } from "../../src/observe/log.ts";
import { bindSdkLogger } from "../../src/observe/sdk-logger.ts";
import { hooks } from "../graphs/own-app/app.ts";
import { sentOf } from "../support/http.ts";
import { startUsers, type Users } from "../support/users.ts";

const said: unknown[][] = [];
let u: Users;
beforeAll(async () => {
  const log = openLog("silent");
  bindSdkLogger({ ...log, info: (...told: unknown[]) => said.push(told) } as never);
  u = await startUsers("own-app/langgraph.json");
});
afterAll(() => u.close());

const runBy = async (user: string, body: object) => {
  const sent = await u.as(user, "POST", "/runs/wait", body);
  expect(sent.status, sent.text).toBe(200);
  return sent.json;
};
/** What the program's own route is told of a run that names it as its webhook. */
async function hookOf(user: string, webhook: string, body: object = { assistant_id: "told" }) {
  const told = once(hooks, "told");
  await runBy(user, { ...body, input: {}, webhook });
  return (await told)[0];
}
const deliveries = async (user: string) => {
  const sent = await u.as(user, "GET", "/webhooks");
  return sent.json as { url: string; status: string; error: string | null; attempts: number }[];
};

describe("http.app of a langgraph.json", () => {
  it("answers its own routes, and is told who asks by the program's auth", async () => {
    expect(await u.as("alice", "GET", "/orders/7")).toMatchObject({
      status: 200,
      json: { id: "7", user: { identity: "alice" }, scopes: ["role:alice"] },
    });
    expect(await u.as(null, "GET", "/orders/7")).toMatchObject({ status: 401, text: "who are you?" });
  });

  it("may take the place of a route of ours", async () => {
    expect((await u.as("alice", "GET", "/info")).json).toEqual({ mine: true });
  });

  it("has its middleware around our routes, also one that reads the body or refuses", async () => {
    const made = await u.as("alice", "POST", "/threads", { metadata: { ticket: 1 } });
    expect(made).toMatchObject({ status: 200, json: { metadata: { ticket: 1, owner: "alice" } } });
    expect(made.headers.get("x-program")).toBe("was here");
    expect(await u.as("alice", "POST", "/threads", { refuse: true })).toMatchObject({ status: 418 });
    const missing = await u.as("alice", "GET", `/threads/${made.json.thread_id}/runs/7`);
    expect(missing.headers.get("x-program")).toBe("was here");
  });

  it("keeps our limits of a body that its middleware has read", async () => {
    const long = { metadata: { text: ["x".repeat(500_000), "x".repeat(500_000), "x".repeat(500_000)] } };
    expect(await u.as("alice", "POST", "/threads", long)).toMatchObject({ status: 413 });
  });

  it("throws Hono's own errors as they are, and tells nothing of others", async () => {
    expect(await u.as("alice", "GET", "/teapot")).toMatchObject({ status: 418, text: "short and stout" });
    expect(await u.as("alice", "GET", "/broken")).toMatchObject({
      status: 500,
      text: "Internal Server Error",
    });
  });

  it("must be a Hono app", async () => {
    const file = path.resolve(import.meta.dirname, "../graphs/own-app/langgraph.json");
    const project = await readProject(file);
    await expect(loadProgramApp(project, async () => ({ default: { fetch: 1 } }))).rejects.toThrow(
      /langgraph\.json: http\.app: \.\/app\.ts .*"default" must be a Hono app/,
    );
  });
});

describe("the SDK's client without a URL, in the program's own code", () => {
  it("reaches the server without a network, with the rights of the headers it sends", async () => {
    await u.as("bob", "POST", "/threads", {});
    const mine = await u.as("alice", "GET", "/mine");
    expect(mine.json.length).toBeGreaterThan(0);
    expect(mine.json.every((thread: { metadata: object }) => "owner" in thread.metadata)).toBe(true);
    expect(mine.text).not.toContain("bob");
  });

  it("works in nodes of a graph, whose logger writes to ours", async () => {
    expect((await runBy("carol", { assistant_id: "counts", input: {} })).threads).toBe(1);
    expect(said).toContainEqual([{ details: [{ user: "carol" }] }, "counting"]);
  });
});

describe("a webhook to a path of the server", () => {
  it("reaches a route of the program as the user who started the run", async () => {
    const told = await hookOf("alice", "/hooks/ok");
    expect(told).toMatchObject({ user: "alice", body: { status: "success", values: { told: {} } } });
    expect(JSON.stringify(told)).not.toContain("secret-token");
  });

  it("is tried again when the route fails", async () => {
    await hookOf("bob", "/hooks/fails");
    await expect
      .poll(() => deliveries("bob"), { timeout: 20_000 })
      .toMatchObject([{ url: "/hooks/fails", status: "pending", error: "answered 500", attempts: 1 }]);
  });

  it("opens nothing to its user that is not open anyway", async () => {
    const thread = (await u.as("bob", "POST", "/threads", {})).json.thread_id;
    await runBy("reader", { assistant_id: "told", input: {}, webhook: `/threads/${thread}/state` });
    await expect
      .poll(() => deliveries("reader"), { timeout: 20_000 })
      .toMatchObject([{ status: "pending", error: "answered 404" }]);
  });

  it("is not sent by a worker, which has no app", async () => {
    const { rows } = await u.runtime.db.query({
      text: "select count(*)::int as outside from holdfast.webhook_deliveries where error like '%URL%'",
      values: [],
    });
    expect(rows).toEqual([{ outside: 0 }]);
  });

  it.each(["//elsewhere.example.org/", "/\\elsewhere.example.org/", "/with space", "ftp://x.example.org"])(
    "is refused where it is no path: %s",
    async (webhook) => {
      const sent = await u.as("alice", "POST", "/runs", { assistant_id: "told", input: {}, webhook });
      expect(sent).toMatchObject({ status: 422, json: { error: { issues: [{ path: ["webhook"] }] } } });
    },
  );
});

describe("http of a langgraph.json", () => {
  const file = path.resolve(import.meta.dirname, "../graphs/own-app/open.json");
  const open = async () => {
    const programHttp = (await readProject(file)).http;
    const config = { ...httpDefaults, version: "test" };
    return createApp({ ...u.runtime, programHttp, config, ready: async () => true });
  };

  it("switches groups of routes off, in the document of the API too", async () => {
    const app = await open();
    const statusOf = async (url: string, method = "GET") => (await app.request(url, { method })).status;
    expect(await statusOf("/store/items?namespace=a&key=b")).toBe(404);
    expect(await statusOf("/store/namespaces", "POST")).toBe(404);
    expect(await statusOf("/runs/wait", "POST")).toBe(404);
    expect(await statusOf("/runs/crons/search", "POST")).toBe(404);
    expect(await statusOf("/info")).toBe(404);
    expect(await statusOf("/ok")).toBe(404);
    expect(await statusOf("/livez")).toBe(200);
    expect(await statusOf("/threads/search", "POST")).toBe(200);
    expect(await statusOf("/assistants/search", "POST")).toBe(200);
    const { json } = await sentOf(await app.request("/openapi.json"));
    expect(Object.keys(json.paths)).toContain("/threads/search");
    expect(Object.keys(json.paths).filter((name) => /store|runs|info/.test(name))).toEqual([]);
  });

  it("says which pages may read answers, and what the SDK needs stays readable", async () => {
    const app = await open();
    const asked = async (origin: string, method = "GET") =>
      (await app.request("/livez", { method, headers: { origin } })).headers;
    const allowed = await asked("https://app.example.org");
    expect(allowed.get("access-control-allow-origin")).toBe("https://app.example.org");
    expect(allowed.get("access-control-allow-credentials")).toBe("true");
    expect(allowed.get("access-control-expose-headers")?.split(",")).toEqual(
      expect.arrayContaining(["content-location", "location", "x-pagination-total", "x-program"]),
    );
    expect((await asked("https://app.example.org.evil.net")).get("access-control-allow-origin")).toBeNull();
    const before = await asked("https://app.example.org", "OPTIONS");
    expect(before.get("access-control-allow-headers")).toBe("x-mine");
    expect(before.get("access-control-max-age")).toBe("60");
  });

  it("is refused with the name of the field that is wrong", async () => {
    const project = { graphs: {}, http: { cors: { allow_origin_regex: "(" } } };
    const folder = await mkdtemp(path.join(tmpdir(), "holdfast-http-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const wrong = path.join(folder, "langgraph.json");
    await writeFile(wrong, JSON.stringify(project));
    await expect(readProject(wrong)).rejects.toThrow(
      /not a regular expression[\s\S]*http\.cors\.allow_origin_regex/,
    );
  });
});
