import { Fatal } from "./errors.ts";

/**
 * A value as JSON text. What has a `toJSON` (a Date, a Buffer) becomes what that says. Throws Fatal with the given
 * code for what would come back as something else: a Map, a function, a BigInt, NaN, a cycle, too many bytes.
 */
export function toJson(value: unknown, { what, bytesMax, code }: JsonLimits): string {
  const refuse = (reason: string, cause?: unknown): never => {
    throw new Fatal(`${what} cannot be stored: ${reason}`, { code, cause });
  };
  let text: string | undefined;
  try {
    text = JSON.stringify(value ?? null, (key, member: unknown) => {
      const lost = lostAsJson(member);
      if (lost !== null) throw new Error(key === "" ? lost : `${key} is ${lost}`);
      return member;
    });
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error), error);
  }
  const bytes = Buffer.byteLength(text);
  return bytes > bytesMax ? refuse(`it has ${bytes} bytes of at most ${bytesMax}`) : text;
}

export interface JsonLimits {
  what: string;
  bytesMax: number;
  code: string;
}

function lostAsJson(value: unknown): string | null {
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (typeof value === "bigint" || typeof value === "function" || typeof value === "symbol")
    return `a ${typeof value}`;
  if (value instanceof Map || value instanceof Set) return `a ${value.constructor.name}`;
  return null;
}
