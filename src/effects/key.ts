import { createHash } from "node:crypto";
import canonicalize from "canonicalize";
import type { EffectDeclaration } from "../domain/effect.ts";
import { Fatal } from "../domain/errors.ts";
import { toJson } from "../domain/json.ts";
import { argsBytesMax } from "./sizes.ts";

export const businessKeyCharsMax = 500;

// As JSON: joined by a separator, a tool call id that holds it could pass for another call.
const digestOf = (parts: readonly unknown[]): string =>
  createHash("sha256").update(JSON.stringify(parts)).digest("hex");

export interface Place {
  tenant: string;
  threadId: string;
  taskId: string;
  toolCallId: string | null;
  /** Which call this is among those of its task, execution, tool and tool call id. */
  ordinal: number;
  name: string;
  /** The run that performs the effects of its fork anew; null where stored ones are found again. */
  repeatedBy: string | null;
}

/** The same for a call and its repetitions, another one for every other call. Arguments are no part of it. */
export function placeKey({ tenant, threadId, taskId, toolCallId, ordinal, name, repeatedBy }: Place): string {
  const parts = [tenant, threadId, taskId, toolCallId ?? "", ordinal, name];
  return digestOf(repeatedBy === null ? parts : [...parts, repeatedBy]);
}

/** The same from any run and thread of the tenant. */
export const keyOfBusiness = (p: { tenant: string; name: string; businessKey: string }): string =>
  digestOf([p.tenant, "business", p.name, p.businessKey]);

/** After a call was undone: its own key would give the undone one back, here and on the other side. */
export const keyAfter = (undone: string): string => digestOf([undone, "again"]);

/** What the call is about in the business; null where its declaration does not say. */
export function businessKeyOf({ name, keyOf }: EffectDeclaration, args: unknown): string | null {
  if (keyOf === undefined) return null;
  const key: unknown = keyOf(args as never);
  if (typeof key === "string" && key !== "" && key.length <= businessKeyCharsMax && !key.includes("\u0000"))
    return key;
  throw new Fatal(
    `keyOf of effect ${name} must give a text of 1 to ${businessKeyCharsMax} characters without NUL`,
    { code: "invalid_business_key" },
  );
}

/** Arguments in canonical form (RFC 8785), and their digest. */
export function readArgs(name: string, args: unknown): { args: string; argsDigest: string } {
  const limits = {
    what: `the arguments of effect ${name}`,
    bytesMax: argsBytesMax,
    code: "effect_args_unstorable",
  };
  const text = canonicalize(JSON.parse(toJson(args, limits))) ?? "null";
  return { args: text, argsDigest: createHash("sha256").update(text).digest("hex") };
}
