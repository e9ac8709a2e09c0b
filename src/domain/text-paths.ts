// The texts in a value that a path leads to: `$` (the whole), `a.b`, `pages[*].text`, `tags[0]`, `tags[-1]`. Pure.

/** A name, or the number in brackets; `*` stands for all there are. */
const step = /[^.[\]]+/g;

export function textsAt(value: unknown, path: string): string[] {
  const steps = path === "$" ? [] : (path.match(step) ?? []);
  const found = steps.reduce<unknown[]>((values, name) => values.flatMap((at) => inside(at, name)), [value]);
  return found.flatMap((at) => (at === null || at === undefined ? [] : [textOf(at)]));
}

function inside(value: unknown, name: string): unknown[] {
  if (typeof value !== "object" || value === null) return [];
  if (name === "*") return Object.values(value);
  if (Array.isArray(value)) return /^-?\d+$/.test(name) ? [value.at(Number(name))] : [];
  return Object.hasOwn(value, name) ? [(value as Record<string, unknown>)[name]] : [];
}

const textOf = (value: unknown): string =>
  typeof value === "object" ? JSON.stringify(value) : String(value);
