import { afterAll, beforeAll, expect, it } from "vitest";
import { admit, failed, succeeded } from "../../src/db/queries/breakers.ts";
import { openTestApp, type TestApp } from "../support/http.ts";

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp();
});
afterAll(() => test.close());

const target = "api.example.com/org/model-1";
const path = `/breakers/${encodeURIComponent(target)}`;
const limits = { target, openMs: 60_000, probeMs: 60_000 };

it("an operator opens a breaker, closes it and gives it back to its own rules", async () => {
  expect((await test.send("GET", "/breakers")).json).toEqual([]);
  const opened = await test.send("POST", `${path}/open`);
  expect(opened.status).toBe(200);
  expect(opened.json).toMatchObject({ target, state: "open", forced: true });
  expect((await test.send("GET", "/breakers")).json).toMatchObject([{ target, state: "open" }]);
  expect(await admit(test.db, { ...limits, openMs: 0 })).toMatchObject([{ state: "open", probe: null }]);

  expect((await test.send("POST", `${path}/close`)).json).toMatchObject({ state: "closed", forced: true });
  for (let n = 0; n < 6; n++) await failed(test.db, { target, probe: null, failuresMax: 5 });
  expect(await admit(test.db, limits)).toMatchObject([{ state: "closed" }]);

  expect((await test.send("POST", `${path}/auto`)).json).toMatchObject({ state: "closed", forced: false });
  for (let n = 0; n < 5; n++) await failed(test.db, { target, probe: null, failuresMax: 5 });
  expect(await admit(test.db, limits)).toMatchObject([{ state: "open", probe: null }]);
});

it("the scrape shows how each breaker stands", async () => {
  await test.send("POST", `${path}/open`);
  const { text } = await test.send("GET", "/metrics");
  expect(text).toContain(`holdfast_breaker_state{target="${target}"} 2`);
});

it("a breaker that nobody knows is 404, and a name that is none is 422, as problem details", async () => {
  const unknown = await test.send("POST", `/breakers/${encodeURIComponent("no/such")}/auto`);
  expect(unknown.status).toBe(404);
  expect(unknown.headers.get("content-type")).toContain("application/problem+json");
  expect((await test.send("POST", "/breakers/nothing/open")).json).toMatchObject({
    status: 422,
    field: "target",
  });
});

it("a probe that answers after its time closes the breaker, unless a later one has failed since", async () => {
  const probeOf = async (): Promise<string> => {
    const [admission] = await admit(test.db, { target, openMs: 0, probeMs: 0 });
    return String(admission?.probe);
  };
  const open = async (): Promise<void> => {
    await test.send("POST", `${path}/auto`);
    for (let n = 0; n < 5; n++) await failed(test.db, { target, probe: null, failuresMax: 5 });
  };
  await open();
  const slow = await probeOf();
  const later = await probeOf();
  expect(later).not.toBe(slow);
  expect(await succeeded(test.db, { target, probe: slow })).toMatchObject([{ state: "closed" }]);

  await open();
  const stale = await probeOf();
  await failed(test.db, { target, probe: await probeOf(), failuresMax: 5 });
  await probeOf();
  expect(await succeeded(test.db, { target, probe: stale })).toEqual([]);
  expect(await succeeded(test.db, { target, probe: null })).toEqual([]);
});

it("a probe is given to one caller alone, and again when it was given up by its time", async () => {
  await test.send("POST", `${path}/auto`);
  for (let n = 0; n < 5; n++) await failed(test.db, { target, probe: null, failuresMax: 5 });
  const now = { ...limits, openMs: 0 };
  const both = (await Promise.all([admit(test.db, now), admit(test.db, now)])).flat();
  expect(both.filter(({ probe }) => probe !== null)).toHaveLength(1);
  const late = (await Promise.all([admit(test.db, now), admit(test.db, now)])).flat();
  expect(late.filter(({ probe }) => probe !== null)).toHaveLength(0);
});
