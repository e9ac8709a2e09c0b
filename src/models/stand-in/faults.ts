import { z } from "zod";

/** What the stand-in can be told to do instead of answering. `429:7` asks to come back after seven seconds. */
export const Fault = z.union([
  z.enum(["500", "503", "529", "429", "401", "400", "hang", "cut", "trickle", "malformed"]),
  z.string().regex(/^429:\d{1,5}$/, "Expected a fault such as 500, 429:7, hang, cut, trickle or malformed."),
]);
export type Fault = z.infer<typeof Fault>;

const faultsMax = 1_000;

export const ControlRequest = z.object({ next: z.array(Fault).max(faultsMax) });

export interface StatusFault {
  status: number;
  headers: Record<string, string>;
}

/** The fault's status and headers, if it is one that answers with a status. */
export function statusOf(fault: Fault): StatusFault | undefined {
  const [code = "", retryAfter] = fault.split(":");
  const status = Number(code);
  if (!Number.isInteger(status)) return undefined;
  return { status, headers: retryAfter === undefined ? {} : { "retry-after": retryAfter } };
}
