import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { insertApiKey, revokeApiKey } from "../../src/db/queries/keys.ts";
import { newId } from "../../src/domain/ids.ts";
import { createApp } from "../../src/http/app.ts";
import { makeApiKey } from "../../src/http/auth.ts";
import { openTestApp, type TestApp } from "../support/http.ts";

let t: TestApp;
beforeAll(async () => {
  t = await openTestApp();
});
afterAll(() => t.close());
afterEach(() => t.db.query({ text: "delete from holdfast.api_keys", values: [] }));

async function addKey(name: string, tenant = "default"): Promise<string> {
  const { key, prefix, hash } = makeApiKey();
  await insertApiKey(t.db, { keyId: newId(), tenant, name, prefix, hash });
  return key;
}
/** An app that has not asked yet whether keys exist. */
const fresh = () => createApp(t.deps);
const status = async (app: ReturnType<typeof fresh>, path: string, headers: Record<string, string> = {}) =>
  (await app.request(path, { headers })).status;

describe("API keys", () => {
  it("have a readable prefix, and only their hash is kept", () => {
    const { key, prefix, hash } = makeApiKey();
    expect(key).toMatch(/^hf_[0-9a-f]{8}_[A-Za-z0-9_-]{43}$/);
    expect(key.slice(3, 11)).toBe(prefix);
    expect(hash).toHaveLength(32);
  });

  it("are not needed while none exists, unless the server demands one", async () => {
    expect(await status(fresh(), "/ok")).toBe(200);
    const strict = createApp({ ...t.deps, config: { ...t.deps.config, authRequired: true } });
    expect(await status(strict, "/ok")).toBe(401);
  });

  it("are needed on every route but the open ones as soon as one exists", async () => {
    const key = await addKey("ops");
    const app = fresh();
    for (const path of ["/ok", "/metrics", "/escalations", "/dead-letters", "/runs/x", "/nothing"]) {
      expect(await status(app, path), path).toBe(401);
    }
    for (const path of ["/livez", "/readyz", "/info"]) expect(await status(app, path), path).toBe(200);
    expect(await status(app, "/ok", { "x-api-key": key })).toBe(200);
    expect(await status(app, "/ok", { authorization: `Bearer ${key}` })).toBe(200);
    expect(await status(app, "/ok", { "x-auth-scheme": "langsmith", "x-api-key": "lsv2_x" })).toBe(401);
  });

  it("are refused when they are wrong or revoked", async () => {
    const key = await addKey("old");
    const app = fresh();
    const last = key.at(-1) === "A" ? "B" : "A";
    expect(await status(app, "/ok", { "x-api-key": key.slice(0, -1) + last })).toBe(401);
    await revokeApiKey(t.db, { name: "old" });
    expect(await status(app, "/ok", { "x-api-key": key })).toBe(401);
  });

  it("show a tenant nothing of another's", async () => {
    const mine = { "x-api-key": await addKey("me", "mine"), "content-type": "application/json" };
    const yours = { "x-api-key": await addKey("you", "yours"), "content-type": "application/json" };
    const app = fresh();
    const made = await app.request("/threads", { method: "POST", headers: mine, body: "{}" });
    const { thread_id } = (await made.json()) as { thread_id: string };
    expect(await status(app, `/threads/${thread_id}`, mine)).toBe(200);
    for (const path of ["", "/state", "/runs", "/effects", "/explain"]) {
      expect(await status(app, `/threads/${thread_id}${path}`, yours), path).toBe(404);
    }
    const body = JSON.stringify({ assistant_id: "steps", input: {}, if_not_exists: "create" });
    const taken = await app.request(`/threads/${thread_id}/runs`, { method: "POST", headers: yours, body });
    expect(taken.status).toBe(404);
  });
});

describe("the rate limit", () => {
  it("is off by default, and answers 429 with the time to wait", async () => {
    const app = createApp({ ...t.deps, config: { ...t.deps.config, requestsPerSecondMax: 2 } });
    expect([await status(app, "/ok"), await status(app, "/ok")]).toEqual([200, 200]);
    const refused = await app.request("/ok");
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(await status(app, "/livez")).toBe(200);
  });
});
