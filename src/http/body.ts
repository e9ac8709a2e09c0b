import { parse } from "secure-json-parse";
import type { z } from "zod";
import { incomingOf, type RequestContext } from "./deps.ts";
import { type Issue, Refused } from "./errors.ts";
import { messageOf, reservedVersion } from "./message.ts";

export const bodyDepthMax = 64;
export const bodyKeysMax = 10_000;
export const stringBytesMax = 512 * 1024;

/** Reads and checks a JSON body. An empty one is an empty object. Throws Refused naming the place that is wrong. */
export async function readBody(c: RequestContext, bytesMax: number): Promise<unknown> {
  return parseBody(await readText(c, bytesMax));
}

/** JSON as it may come in, from wherever. Throws Refused naming the place that is wrong. */
export function parseBody(text: string): unknown {
  if (text.trim() === "") return {};
  let value: unknown;
  try {
    value = parse(text, null, { protoAction: "error", constructorAction: "error" });
  } catch (error) {
    const message = (error as Error).message;
    // The parser does not say where; the check does.
    if (/forbidden/i.test(message)) checked(JSON.parse(text));
    throw new Refused(400, `Malformed JSON in request body: ${message}`);
  }
  return checked(value);
}

/** Reads a body in the form that `schema` says. Throws Refused 422 with the fields that are wrong. */
export async function readInput<T>(c: RequestContext, schema: z.ZodType<T>, bytesMax: number): Promise<T> {
  return parseInput(schema, await readBody(c, bytesMax));
}

export function parseInput<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues: Issue[] = parsed.error.issues.map(({ path, message, code }) => ({
    path: path.map((part) => (typeof part === "symbol" ? String(part) : part)),
    message: `${path.length === 0 ? "body" : path.join(".")}: ${message}`,
    code,
  }));
  throw new Refused(422, issues[0]?.message ?? "invalid", { issues });
}

async function readText(c: RequestContext, bytesMax: number): Promise<string> {
  const request = c.req.raw;
  const tooLarge = new Refused(413, `The body is larger than ${bytesMax} bytes`);
  const declared = request.headers.get("content-length");
  if (Number(declared ?? 0) > bytesMax) throw tooLarge;
  // The program's own middleware has read it: Hono keeps what it was.
  if (request.bodyUsed) {
    const text = await c.req.text();
    if (Buffer.byteLength(text) > bytesMax) throw tooLarge;
    return text;
  }
  if (declared !== null && isNodes(c)) {
    const bytes = await c.req.arrayBuffer();
    if (bytes.byteLength > bytesMax) throw tooLarge;
    return decoded(bytes);
  }
  if (request.body === null) return "";
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = request.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes += value.byteLength;
    if (bytes > bytesMax) {
      await reader.cancel().catch(() => undefined);
      throw tooLarge;
    }
    chunks.push(value);
  }
  return decoded(Buffer.concat(chunks));
}

/**
 * Whether the body is the one that Node's parser reads, which lets no more through than was declared, so that it needs no
 * web stream around it. The adapter's request holds what it came from; one that a middleware put in its place does not.
 */
function isNodes(c: RequestContext): boolean {
  const incoming = incomingOf(c);
  const request = c.req.raw;
  return (
    incoming !== undefined &&
    Object.getOwnPropertySymbols(request).some((key) => Reflect.get(request, key) === incoming)
  );
}

function decoded(bytes: ArrayBuffer | Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Refused(400, "Malformed JSON in request body: it is not UTF-8");
  }
}

interface Node {
  value: object;
  parent: Node | null;
  key: string | number;
  depth: number;
  /** Below a message that a client sent as a constructor: nothing reserved may hide there. */
  inMessage: boolean;
}

/** One iterative walk over a parsed body; LangChain messages become plain on the way. */
function checked(root: unknown): unknown {
  const holder: { body: unknown } = { body: root };
  const top: Node = { value: holder, parent: null, key: "", depth: 0, inMessage: false };
  const open: Node[] = [top];
  let keys = 0;
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    for (const [key, value] of entriesOf(node.value)) {
      keys += Array.isArray(node.value) ? 0 : 1;
      if (keys > bodyKeysMax) refuse(node, key, `more than ${bodyKeysMax} keys`);
      if (typeof key === "string") checkKey(node, key, value);
      if (typeof value !== "object" || value === null) {
        checkScalar(node, key, value);
        continue;
      }
      if (node.depth >= bodyDepthMax) refuse(node, key, `nested deeper than ${bodyDepthMax} levels`);
      open.push(childOf(node, key, value));
    }
  }
  return holder.body;
}

function entriesOf(value: object): Iterable<[string | number, unknown]> {
  return Array.isArray(value) ? value.entries() : Object.entries(value);
}

function childOf(node: Node, key: string | number, value: object): Node {
  const child: Node = { value, parent: node, key, depth: node.depth + 1, inMessage: node.inMessage };
  if (!reservedVersion(value)) return child;
  const message = node.inMessage ? null : messageOf(value);
  if (message === null) refuse(node, key, "the key lc is reserved for LangChain's own objects");
  (node.value as Record<string | number, unknown>)[key] = message;
  return { ...child, value: message, inMessage: true };
}

function checkKey(node: Node, key: string, value: unknown): void {
  if (key === "__proto__") refuse(node, key, "this key is not allowed");
  if (
    key === "constructor" &&
    typeof value === "object" &&
    value !== null &&
    Object.hasOwn(value, "prototype")
  ) {
    refuse(node, key, "this key is not allowed");
  }
  checkText(node, key, key);
}

function checkScalar(node: Node, key: string | number, value: unknown): void {
  if (typeof value === "string") checkText(node, key, value);
  if (typeof value !== "number") return;
  if (!Number.isFinite(value)) refuse(node, key, "this number is too large, send it as a string");
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    refuse(node, key, `integers beyond ${Number.MAX_SAFE_INTEGER} lose digits, send it as a string`);
  }
}

/** With the u flag a pair is one character and does not match. */
const loneSurrogate = /\p{Surrogate}/u;

function checkText(node: Node, key: string | number, text: string): void {
  if (text.includes("\u0000")) refuse(node, key, "the character \\u0000 is not allowed");
  if (loneSurrogate.test(text)) refuse(node, key, "a lone surrogate is not valid text");
  // A UTF-16 unit takes three bytes at most, so most strings need no counting.
  if (text.length * 3 > stringBytesMax && Buffer.byteLength(text) > stringBytesMax) {
    refuse(node, key, `longer than ${stringBytesMax} bytes`);
  }
}

const pathPartsShown = 12;
const keyCharsShown = 64;

function refuse(node: Node, key: string | number, reason: string): never {
  const path: (string | number)[] = [typeof key === "number" ? key : key.slice(0, keyCharsShown)];
  for (let at: Node | null = node; at !== null && at.parent !== null; at = at.parent) path.unshift(at.key);
  path.shift();
  const shown = path.length > pathPartsShown ? [...path.slice(0, pathPartsShown), "…"] : path;
  const message = `${shown.length === 0 ? "body" : shown.join(".")}: ${reason}`;
  throw new Refused(422, message, { issues: [{ path: shown, message, code: "custom" }] });
}
