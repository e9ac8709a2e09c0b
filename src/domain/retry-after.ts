/** Reads one header; null or undefined where there is none. */
export type HeaderOf = (name: string) => string | null | undefined;

/** A provider that asks for more is answered by the run's own end, not by a run that sleeps for days. */
export const retryAfterMsMax = 3_600_000;

/**
 * Milliseconds that an answer asks to wait: `retry-after-ms`, or `Retry-After` as seconds or as a date. A date is read
 * against the Date of the same answer, for the two clocks then agree; else against `nowMs`. Undefined where nothing
 * readable was said.
 */
export function retryAfterMs(header: HeaderOf, nowMs?: number): number | undefined {
  const millis = count(header("retry-after-ms"));
  if (millis !== undefined) return capped(millis);
  const text = header("retry-after")?.trim();
  const seconds = count(text);
  if (seconds !== undefined) return capped(seconds * 1_000);
  // A bare number that is no wait would be read as a year.
  const at = Date.parse(/[a-z]/i.test(text ?? "") ? (text ?? "") : "");
  const sent = Date.parse(header("date") ?? "");
  const reference = Number.isNaN(sent) ? nowMs : sent;
  return Number.isNaN(at) || reference === undefined ? undefined : capped(Math.max(0, at - reference));
}

/** The header reader of whatever an error carries: a `Headers`, or a plain object with lower-case names. */
export function headerOf(headers: unknown): HeaderOf {
  if (headers instanceof Headers) return (name) => headers.get(name);
  return (name) => {
    const value: unknown =
      typeof headers === "object" && headers !== null ? Reflect.get(headers, name) : null;
    return typeof value === "string" ? value : null;
  };
}

function count(text: string | null | undefined): number | undefined {
  if (text === null || text === undefined || text.trim() === "") return undefined;
  const value = Number(text);
  return Number.isFinite(value) && value >= 0 ? value : undefined;
}

const capped = (millis: number): number => Math.min(Math.round(millis), retryAfterMsMax);
