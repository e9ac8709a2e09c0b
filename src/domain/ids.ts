import { createHmac } from "node:crypto";
import { stringify, v5, v7 } from "uuid";

/** Time-ordered id for threads, runs and escalations. */
export const newId = (): string => v7();

/** The namespace the Agent Server derives the ids of system assistants in. */
const assistantNamespace = "6ba7b821-9dad-11d1-80b4-00c04fd430c8";

/** The id of the assistant that every graph has by itself. */
export const systemAssistantId = (graphId: string): string => v5(graphId, assistantNamespace);

/** The id of the thread that a tenant calls by a key: a UUID of version 8, which is for makers of their own. */
export function keyedThreadId({
  tenant,
  key,
  secret,
}: {
  tenant: string;
  key: string;
  secret: string;
}): string {
  const digest = createHmac("sha256", secret)
    .update(JSON.stringify([tenant, key]))
    .digest();
  const bytes = digest.subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return stringify(bytes);
}
