import { ofUser } from "../domain/caller.ts";
import type { Principal } from "./deps.ts";
import { Refused } from "./errors.ts";

export const headerBytesMax = 8 * 1024;

/** Credentials of the Agent Server's clients. */
const kept = new Set(["x-api-key", "x-tenant-id", "x-service-key"]);

/** The headers that graphs may read, by name. Throws Refused 431 when there is more of them than a run may carry. */
export function headersOf(headers: Headers): Record<string, unknown> {
  const told = [...headers].filter(
    ([name]) => name === "user-agent" || (name.startsWith("x-") && !kept.has(name)),
  );
  const bytes = told.reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value),
    0,
  );
  if (bytes <= headerBytesMax) return Object.fromEntries(told);
  throw new Refused(431, `The x-* headers have ${bytes} bytes: a run may carry ${headerBytesMax}`);
}

/** The user of the program that asks, as a run finds it; nothing for others. */
export const userOfPrincipal = ({ access }: Principal): Record<string, unknown> =>
  access === undefined ? {} : ofUser(access.user);
