// From a JSON schema to values that fit it, and from those to values that do not.
import fc from "fast-check";
import type { JsonSchema } from "../../src/http/openapi/document.ts";
import { good, json } from "./good.ts";

/** Gives what fits a schema; `$ref`s lead into `components`. */
export class Values {
  readonly #components: Record<string, JsonSchema>;
  readonly #made = new Map<JsonSchema, fc.Arbitrary<unknown>>();

  constructor(components: Record<string, JsonSchema>) {
    this.#components = components;
  }

  of(schema: JsonSchema, name = ""): fc.Arbitrary<unknown> {
    const plain = this.#made.get(schema) ?? this.#make(schema);
    this.#made.set(schema, plain);
    const known = good[name];
    return known === undefined ? plain : fc.oneof({ arbitrary: known, weight: 7 }, plain);
  }

  #make(schema: JsonSchema): fc.Arbitrary<unknown> {
    const { $ref, anyOf, type } = schema as { $ref?: string; anyOf?: JsonSchema[]; type?: string };
    if ($ref !== undefined) return this.of(this.#components[$ref.split("/").at(-1)!]!);
    if (anyOf !== undefined) return fc.oneof(...anyOf.map((choice) => this.of(choice)));
    if ("const" in schema) return fc.constant(schema.const);
    if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum);
    if (type === "object") return this.#object(schema);
    if (type === "array") return this.#array(schema);
    return scalar(schema);
  }

  #array(schema: JsonSchema): fc.Arbitrary<unknown> {
    const {
      prefixItems,
      items,
      minItems = 0,
      maxItems = 4,
    } = schema as {
      prefixItems?: JsonSchema[];
      items?: JsonSchema;
      minItems?: number;
      maxItems?: number;
    };
    if (prefixItems !== undefined) return fc.tuple(...prefixItems.map((item) => this.of(item)));
    const of = this.of(items ?? {});
    return fc.array(of, { minLength: minItems, maxLength: Math.max(minItems, Math.min(maxItems, 3)) });
  }

  #object(schema: JsonSchema): fc.Arbitrary<unknown> {
    const { properties, required = [] } = schema as {
      properties?: Record<string, JsonSchema>;
      required?: string[];
    };
    if (properties === undefined) return openObject;
    const entries = Object.entries(properties).map(([name, of]) => {
      const value = this.of(of, name);
      return required.includes(name)
        ? value.map((it) => [[name, it]])
        : fc.option(value, { freq: 2, nil: undefined }).map((it) => (it === undefined ? [] : [[name, it]]));
    });
    // Few optional fields at once: with all of them nearly every request would be refused for one of them.
    const kept = fc.array(fc.nat(9), { minLength: entries.length, maxLength: entries.length });
    return fc.tuple(kept, ...entries).map(([dice, ...pairs]) => {
      const names = Object.keys(properties);
      const chosen = pairs.filter((_, n) => required.includes(names[n]!) || dice[n]! < 4);
      return Object.fromEntries(chosen.flat() as [string, unknown][]);
    });
  }
}

const openObject = fc.dictionary(fc.string({ maxLength: 8 }), json(2), { maxKeys: 3 });

function scalar(schema: JsonSchema): fc.Arbitrary<unknown> {
  const {
    type,
    format,
    pattern,
    minimum,
    maximum,
    maxLength = 40,
  } = schema as {
    type?: string | string[];
    format?: string;
    pattern?: string;
    minimum?: number;
    maximum?: number;
    maxLength?: number;
  };
  if (Array.isArray(type)) return fc.oneof(...type.map((one) => scalar({ ...schema, type: one })));
  if (type === "null") return fc.constant(null);
  if (type === "boolean") return fc.boolean();
  if (type === "integer") return fc.integer(bounds(minimum, maximum));
  if (type === "number") return fc.double({ noNaN: true, ...bounds(minimum, maximum) });
  if (type !== "string") return json(3);
  if (format === "uuid") return fc.uuid();
  if (format === "uri") return fc.webUrl();
  if (format === "date-time")
    return fc.date({ noInvalidDate: true, min: new Date(0), max: new Date("2200-01-01") }).map(iso);
  if (pattern === "^\\d+$") return fc.nat().map(String);
  return fc.string({ unit: "grapheme", maxLength: Math.min(maxLength, 40) });
}

const iso = (date: Date): string => date.toISOString();
const integersMax = 2 ** 31 - 1;
const bounds = (min = -integersMax, max = integersMax) => ({
  min: Math.max(min, -integersMax),
  max: Math.min(max, integersMax),
});

/** What no schema asks for. */
export const odd: fc.Arbitrary<unknown> = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.constantFrom<unknown[]>(
    "",
    " ",
    "\u0000",
    "\ud800",
    "𝕳ello 👩‍👩‍👧",
    "__proto__",
    "constructor",
    "-1",
    "null",
    "9".repeat(400),
    "x".repeat(70_000),
    1e308,
    -1,
    0,
    0.5,
    2 ** 53,
    -(2 ** 31) - 1,
    null,
    true,
    [],
    {},
    [[]],
    [null],
    { lc: 1 },
    {
      lc: 1,
      type: "constructor",
      id: ["langchain_core", "messages", "HumanMessage"],
      kwargs: { content: "x" },
    },
    { $gt: "x" },
    "00000000-0000-0000-0000-000000000000",
    "1f0aaaaa-bbbb-6ccc-8ddd-eeeeeeeeeeee",
  ),
);

type Json = Record<string, unknown> | unknown[];

/** Somewhere in the value something else: another value, a field too few, a field too many. */
export const spoiled = (value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc
    .tuple(value, fc.array(fc.tuple(fc.nat(), fc.nat(2), odd), { minLength: 1, maxLength: 3 }))
    .map(([whole, changes]) => {
      let spoilt: unknown = structuredClone(whole);
      for (const [where, how, chosen] of changes) {
        // A value of its own: put into itself by a later change, a shared one would have no end.
        const other = structuredClone(chosen);
        const places = placesIn(spoilt);
        const place = places[where % Math.max(1, places.length)];
        if (place === undefined) spoilt = other;
        else if (how === 0) Object.assign(place.holder, { [`extra_${where % 7}`]: other });
        else if (how === 1) Reflect.deleteProperty(place.holder, place.key);
        else Object.assign(place.holder, { [place.key]: other });
      }
      return spoilt;
    });

function placesIn(value: unknown): { holder: Json; key: string }[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [
    { holder: value as Json, key },
    ...placesIn(inner),
  ]);
}
