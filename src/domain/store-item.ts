// What may be stored as long-term memory, found again and asked for. Pure: the statements are in db/queries/store.ts.
import { InvalidInput } from "./errors.ts";

// Together with the tenant these are the key of an index, whose rows Postgres limits to a third of a page.
export const namespaceLabelsMax = 32;
export const namespaceBytesMax = 1_024;
export const keyBytesMax = 512;
export const valueBytesMax = 1_048_576;
/** A hundred years. */
export const ttlMinutesMax = 52_560_000;
/** Items of one answer may have this many bytes together. */
export const pageBytesMax = 16 * 1024 * 1024;
const filterConditionsMax = 64;
const operandsMax = 1_000;

/** LangGraph keeps this label for itself. */
const reservedRoot = "langgraph";
/** With the u flag a pair is one character and does not match. */
const loneSurrogate = /\p{Surrogate}/u;
const isText = (text: string): boolean => !text.includes("\u0000") && !loneSurrogate.test(text);

/** What is wrong with a namespace or a prefix of one, as the Agent Server words it; null when nothing is. */
export function namespaceFault(namespace: readonly string[]): string | null {
  if (namespace.some((label) => label === "" || label.includes(".")))
    return `Namespace labels cannot be empty or contain periods. Received: ${namespace.join(".")}`;
  if (!namespace.every(isText)) return "Namespace labels must be valid text";
  if (namespace.length > namespaceLabelsMax)
    return `A namespace may have ${namespaceLabelsMax} labels at most`;
  if (Buffer.byteLength(namespace.join("")) > namespaceBytesMax)
    return `A namespace may have ${namespaceBytesMax} bytes at most`;
  return null;
}

/** What is wrong with the place of an item that is to be written. */
export function placeFault(namespace: readonly string[]): string | null {
  if (namespace.length === 0) return "Namespace is required";
  if (namespace[0] === reservedRoot) return `The first label of a namespace cannot be "${reservedRoot}"`;
  return namespaceFault(namespace);
}

export function keyFault(key: string): string | null {
  if (!isText(key)) return "key: must be valid text";
  return Buffer.byteLength(key) > keyBytesMax ? `key: may have ${keyBytesMax} bytes at most` : null;
}

const operators = ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"] as const;
type Operator = (typeof operators)[number] | "contains";

/** One condition on a field of a value. */
export interface Condition {
  field: string;
  /** Of the value; with `place`, of the namespace or the key. */
  operator: Operator | `place ${"$eq" | "contains"}`;
  /** JSON text. */
  operand: string;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * A filter as conditions that all must hold: a field equals a value, contains an object, or is compared by operators.
 * Throws InvalidInput naming the field. Nothing is left out in silence: a filter that is lost finds too much.
 */
export function conditionsOf(filter: Record<string, unknown>): Condition[] {
  const conditions = Object.entries(filter).flatMap(([field, wanted]) => {
    if (!isObject(wanted)) return [condition(field, "$eq", wanted)];
    const names = Object.keys(wanted);
    if (!names.some((name) => name.startsWith("$"))) return [condition(field, "contains", wanted)];
    return Object.entries(wanted).map(([name, operand]) =>
      condition(field, operatorOf(field, name), operand),
    );
  });
  if (conditions.length > filterConditionsMax)
    throw new InvalidInput(`filter: more than ${filterConditionsMax} conditions`, { field: "filter" });
  return conditions;
}

function operatorOf(field: string, name: string): Operator {
  const known = operators.find((operator) => operator === name);
  if (known !== undefined) return known;
  throw refused(field, `${name} is not one of ${operators.join(", ")}`);
}

function condition(field: string, operator: Operator, operand: unknown): Condition {
  const isList = operator === "$in" || operator === "$nin";
  if (isList && !(Array.isArray(operand) && operand.length <= operandsMax))
    throw refused(field, `${operator} expects a list of ${operandsMax} values at most`);
  const text = JSON.stringify(operand) as string | undefined;
  if (text === undefined) throw refused(field, "there is nothing to compare with");
  return { field, operator, operand: text };
}

const refused = (field: string, reason: string): InvalidInput =>
  new InvalidInput(`filter.${field}: ${reason}`, { field: `filter.${field}` });

/** Which namespaces are listed: `*` stands for any label. */
export interface NamespaceMatch {
  matchType: "prefix" | "suffix";
  path: readonly string[];
}

export const anyLabel = "*";
