import { afterAll, beforeAll, expect, it } from "vitest";
import { createProbes } from "../../src/http/probes.ts";
import { openTestApp, type TestApp } from "../support/http.ts";

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp();
});
afterAll(() => test.close());

it.each([
  ["/livez", 200],
  ["/readyz", 200],
  ["/metrics", 401],
])("the probe %s of a worker that others can reach answers %i without a key", async (path, status) => {
  const probes = createProbes({ ...test.deps, config: { authRequired: true } });
  expect((await probes.request(path)).status).toBe(status);
});

it.each([
  ["/metrics", 200],
  ["/ok", 404],
  ["/threads/search", 404],
])("where no key is needed, %s answers %i", async (path, status) => {
  const probes = createProbes({ ...test.deps, config: { authRequired: false } });
  expect((await probes.request(path)).status).toBe(status);
});
