import { expect, it } from "vitest";
import { headerOf, retryAfterMs } from "../../src/domain/retry-after.ts";

const now = Date.parse("Tue, 01 Jan 2030 00:00:00 GMT");

it.each<[string, Record<string, string>, number | undefined]>([
  ["seconds", { "retry-after": "7" }, 7_000],
  ["a fraction of a second", { "retry-after": "0.5" }, 500],
  ["milliseconds, before seconds", { "retry-after-ms": "250", "retry-after": "7" }, 250],
  ["a date, by our clock", { "retry-after": "Tue, 01 Jan 2030 00:00:09 GMT" }, 9_000],
  [
    "a date, by the clock of the answer",
    { "retry-after": "Tue, 01 Jan 2030 01:00:09 GMT", date: "Tue, 01 Jan 2030 01:00:00 GMT" },
    9_000,
  ],
  ["a date that has passed", { "retry-after": "Mon, 31 Dec 2029 23:00:00 GMT" }, 0],
  ["more than an hour", { "retry-after": "100000" }, 3_600_000],
  ["nothing", {}, undefined],
  ["an empty text", { "retry-after": " " }, undefined],
  ["a negative number", { "retry-after": "-1" }, undefined],
  ["no time at all", { "retry-after": "soon" }, undefined],
])("Retry-After reads %s", (_, headers, expected) => {
  expect(retryAfterMs(headerOf(headers), now)).toBe(expected);
  expect(retryAfterMs(headerOf(new Headers(headers)), now)).toBe(expected);
});

it("a date without any clock says nothing", () => {
  const headers = { "retry-after": "Tue, 01 Jan 2030 00:00:09 GMT" };
  expect(retryAfterMs(headerOf(headers))).toBeUndefined();
});
