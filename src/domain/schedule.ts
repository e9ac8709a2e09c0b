import { Cron } from "croner";
import { InvalidInput } from "./errors.ts";

/** When a cron fires. */
export interface Timing {
  /** Five fields (minute, hour, day, month, weekday), or a name such as `@daily`. */
  schedule: string;
  /** IANA name; null is UTC. */
  timezone: string | null;
  /** The last moment at which a tick may be. */
  endTime: Date | null;
}

/** What to do about ticks that nobody was up for: start one run for all of them, or none. */
export const missedPolicies = ["once", "skip"] as const;
export type MissedPolicy = (typeof missedPolicies)[number];

/** A tick that is found later than this was missed. */
export const missedAfterSeconds = 60;

const fiveFields = /^\s*(\S+\s+){4}\S+\s*$/;
const named = /^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$/i;

/**
 * The first tick after a moment, or null when none is left. In the hour that a clock change leaves out, a tick comes
 * right after it; in the hour that comes twice, one at a fixed time comes once. Throws InvalidInput naming the field.
 */
export function nextTick({ schedule, timezone, endTime }: Timing, after: Date): Date | null {
  const next = parsed(schedule, zoneOf(timezone)).nextRun(after);
  return next === null || (endTime !== null && next > endTime) ? null : next;
}

/** The first tick of a cron that somebody starts. Throws InvalidInput naming the field when there is none. */
export function firstTick(timing: Timing, now: Date): Date {
  const tick = nextTick({ ...timing, endTime: null }, now);
  if (tick === null) throw invalid("schedule", "this day never comes");
  const { endTime } = timing;
  if (endTime !== null && endTime <= now) throw invalid("end_time", "it is in the past");
  if (endTime !== null && tick > endTime) throw invalid("end_time", "the schedule has no tick before it");
  return tick;
}

/** Whether a tick that is due starts a run. One that was missed does not when its cron has ended meanwhile. */
export function isToFire(
  { missed, endTime }: { missed: MissedPolicy; endTime: Date | null },
  { due, now }: { due: Date; now: Date },
): boolean {
  const inTime = now.getTime() - due.getTime() <= missedAfterSeconds * 1000;
  return inTime || (missed === "once" && (endTime === null || now <= endTime));
}

/** Without a function to call, the library computes times and starts no timer. */
function parsed(schedule: string, timezone: string): Cron {
  if (!fiveFields.test(schedule) && !named.test(schedule)) {
    throw invalid(
      "schedule",
      "five fields are needed (minute, hour, day, month, weekday), or a name like @daily",
    );
  }
  try {
    return new Cron(schedule, { timezone, mode: "5-part", paused: true });
  } catch (cause) {
    throw invalid("schedule", (cause as Error).message, cause);
  }
}

function zoneOf(timezone: string | null): string {
  if (timezone === null) return "UTC";
  try {
    // Offsets such as +01:00 are no zone: they do not know when clocks change.
    if (/^[A-Za-z]/.test(timezone))
      return new Intl.DateTimeFormat("en", { timeZone: timezone }).resolvedOptions().timeZone;
  } catch (cause) {
    throw invalid("timezone", `unknown time zone ${timezone}`, cause);
  }
  throw invalid("timezone", `unknown time zone ${timezone}`);
}

const invalid = (field: string, reason: string, cause?: unknown): InvalidInput =>
  new InvalidInput(`${field}: ${reason}`, { field, cause });
