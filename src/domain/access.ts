// What a program's own auth lets a caller see: things whose metadata contain certain values.
type Scalar = string | number | boolean | null;

/** Each key with the value that the metadata must have there; a list is what a list there must contain. */
export type AccessFilter = Readonly<Record<string, Scalar | readonly Scalar[]>>;

export const accessFilterKeysMax = 20;

/** A filter that is not understood lets nobody through. */
export class InvalidFilter extends Error {
  override readonly name = "InvalidFilter";
}

/**
 * The filter that an auth handler answered with: `{key: value | {$eq: value} | {$contains: value | [values]}}`.
 * Throws InvalidFilter for anything else: what JSON would drop, such as an undefined value, must not widen it.
 */
export function accessFilter(answer: object): AccessFilter {
  const entries = Object.entries(answer);
  if (Array.isArray(answer) || entries.length > accessFilterKeysMax)
    throw new InvalidFilter(`a filter is an object of ${accessFilterKeysMax} keys at most`);
  return Object.fromEntries(entries.map(([key, wanted]) => [key, wantedOf(key, wanted)]));
}

function wantedOf(key: string, wanted: unknown): Scalar | readonly Scalar[] {
  if (isScalar(wanted)) return wanted;
  const [operation, ...more] =
    typeof wanted === "object" && !Array.isArray(wanted) ? Object.entries(wanted as object) : [];
  if (operation !== undefined && more.length === 0) {
    const [operator, operand] = operation as [string, unknown];
    if (operator === "$eq" && isScalar(operand)) return operand;
    if (operator === "$contains" && isScalar(operand)) return [operand];
    if (operator === "$contains" && Array.isArray(operand) && operand.every(isScalar)) return operand;
  }
  throw new InvalidFilter(`${key}: a filter has a value, {"$eq": value} or {"$contains": value or values}`);
}

const isScalar = (value: unknown): value is Scalar =>
  value === null ||
  typeof value === "string" ||
  typeof value === "boolean" ||
  (typeof value === "number" && Number.isFinite(value));

/** The same answer as `metadata @> filter` in SQL. */
export function passes(metadata: Readonly<Record<string, unknown>>, filter: AccessFilter | null): boolean {
  return Object.entries(filter ?? {}).every(([key, wanted]) => {
    const value = Object.hasOwn(metadata, key) ? metadata[key] : undefined;
    return isList(wanted)
      ? Array.isArray(value) && wanted.every((each) => value.includes(each))
      : value === wanted;
  });
}

const isList = (wanted: Scalar | readonly Scalar[]): wanted is readonly Scalar[] => Array.isArray(wanted);
