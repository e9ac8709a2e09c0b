import { describe, expect, it } from "vitest";
import { InvalidInput } from "../../src/domain/errors.ts";
import { firstTick, isToFire, missedAfterSeconds, nextTick } from "../../src/domain/schedule.ts";

/** The next ticks after a moment, in UTC. */
function ticks(schedule: string, timezone: string | null, from: string, count: number): string[] {
  const found: string[] = [];
  for (let at: Date | null = new Date(from); found.length < count; ) {
    at = nextTick({ schedule, timezone, endTime: null }, at);
    if (at === null) break;
    found.push(at.toISOString().replace(":00.000Z", "Z"));
  }
  return found;
}

describe("the next tick", () => {
  it("is in UTC where no zone is given, and always after the moment itself", () => {
    expect(ticks("0 9 * * *", null, "2026-05-01T09:00:00Z", 2)).toEqual([
      "2026-05-02T09:00Z",
      "2026-05-03T09:00Z",
    ]);
    expect(ticks("0 9 * * *", null, "2026-05-01T08:59:59.999Z", 1)).toEqual(["2026-05-01T09:00Z"]);
    expect(ticks("@hourly", null, "2026-05-01T09:30:00Z", 1)).toEqual(["2026-05-01T10:00Z"]);
  });

  it("keeps the local time when clocks go forward, and comes once, right after the hour that is left out", () => {
    expect(ticks("0 9 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3)).toEqual([
      "2026-03-28T08:00Z",
      "2026-03-29T07:00Z",
      "2026-03-30T07:00Z",
    ]);
    // 02:30 does not exist on the 29th.
    expect(ticks("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3)).toEqual([
      "2026-03-28T01:30Z",
      "2026-03-29T01:00Z",
      "2026-03-30T00:30Z",
    ]);
    expect(ticks("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 3)).toEqual([
      "2026-03-29T00:30Z",
      "2026-03-29T01:00Z",
      "2026-03-29T01:30Z",
    ]);
  });

  it("keeps the local time when clocks go back; a fixed time comes once, an interval goes on", () => {
    expect(ticks("0 9 * * *", "America/New_York", "2026-10-31T00:00:00Z", 3)).toEqual([
      "2026-10-31T13:00Z",
      "2026-11-01T14:00Z",
      "2026-11-02T14:00Z",
    ]);
    // 01:30 comes twice on the 1st.
    expect(ticks("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2)).toEqual([
      "2026-11-01T05:30Z",
      "2026-11-02T06:30Z",
    ]);
    expect(ticks("0 * * * *", "America/New_York", "2026-11-01T04:30:00Z", 3)).toEqual([
      "2026-11-01T05:00Z",
      "2026-11-01T06:00Z",
      "2026-11-01T07:00Z",
    ]);
  });

  it("is none after the end; a tick at the end itself counts", () => {
    const timing = { schedule: "0 * * * *", timezone: null, endTime: new Date("2026-05-01T10:00:00Z") };
    expect(nextTick(timing, new Date("2026-05-01T09:30:00Z"))).toEqual(timing.endTime);
    expect(nextTick(timing, new Date("2026-05-01T10:00:00Z"))).toBeNull();
  });
});

describe("a schedule that cannot be kept", () => {
  const now = new Date("2026-05-01T09:30:00Z");
  const good = { schedule: "0 9 * * *", timezone: "Europe/Berlin", endTime: null };
  it.each([
    ["schedule", { schedule: "not a schedule" }],
    ["schedule", { schedule: "" }],
    ["schedule", { schedule: "60 * * * *" }],
    ["schedule", { schedule: "*/0 * * * *" }],
    ["schedule", { schedule: "* * * * * *" }],
    ["schedule", { schedule: "@reboot" }],
    ["schedule", { schedule: "2026-12-01T00:00:00" }],
    ["schedule", { schedule: "0 0 30 2 *" }],
    ["timezone", { timezone: "Europe/Nowhere" }],
    ["timezone", { timezone: "+02:00" }],
    ["timezone", { timezone: "" }],
    ["end_time", { endTime: new Date("2026-05-01T09:29:00Z") }],
    ["end_time", { endTime: new Date("2026-05-01T09:31:00Z") }],
  ])("is refused by its field %s: %j", (field, wrong) => {
    let error: unknown;
    try {
      firstTick({ ...good, ...wrong }, now);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(InvalidInput);
    expect(error).toMatchObject({ field, message: expect.stringMatching(new RegExp(`^${field}: `)) });
  });
});

describe("a tick that is due", () => {
  const due = new Date("2026-05-01T10:00:00Z");
  const late = (seconds: number): Date => new Date(due.getTime() + seconds * 1000);
  it("fires when it is found in time, even when the cron ends with it", () => {
    const ends = { missed: "skip", endTime: due } as const;
    expect(isToFire(ends, { due, now: late(missedAfterSeconds) })).toBe(true);
  });

  it("that was missed fires or not as its cron says, and never after the end", () => {
    const now = late(missedAfterSeconds + 1);
    expect(isToFire({ missed: "skip", endTime: null }, { due, now })).toBe(false);
    expect(isToFire({ missed: "once", endTime: null }, { due, now })).toBe(true);
    expect(isToFire({ missed: "once", endTime: late(30) }, { due, now })).toBe(false);
  });
});
