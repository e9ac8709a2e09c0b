// `extract` of a search: values of a thread by their paths, such as `values.messages[-1].content`.
export const extractsMax = 10;
export const extractPathCharsMax = 256;

const roots = ["values", "metadata", "config", "interrupts"] as const;
const shape = new RegExp(`^(${roots.join("|")})(\\.[^.[\\]]+|\\[-?\\d{1,6}\\])*$`);
const step = /\.([^.[\]]+)|\[(-?\d+)\]/g;

export const isExtractPath = (path: string): boolean => shape.test(path);
export const extractPathHint = `a path starts with one of ${roots.join(", ")}, as in values.messages[-1].content`;

/** Each alias with what its path leads to; null where it leads nowhere. */
export function extracted(
  item: Record<string, unknown>,
  paths: Readonly<Record<string, string>>,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(paths).map(([alias, path]) => [alias, valueAt(item, path)]));
}

function valueAt(item: Record<string, unknown>, path: string): unknown {
  const root = path.match(/^\w+/)?.[0] ?? "";
  let value: unknown = item[root];
  for (const [, name, index] of path.slice(root.length).matchAll(step)) {
    if (name !== undefined) value = isRecord(value) && Object.hasOwn(value, name) ? value[name] : null;
    else value = Array.isArray(value) ? value.at(Number(index)) : null;
  }
  return value ?? null;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
