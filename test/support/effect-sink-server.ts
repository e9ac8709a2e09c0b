import { createHash } from "node:crypto";
import { once } from "node:events";
import { type FileHandle, open, readFile, truncate } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type EffectLine, wholeLines } from "./effect-log.ts";

/** `refuse`: 503, nothing happened. `fail`: 500 after the effect. `drop`, `hang`: after it, no reply. `stall`: before it, no reply. */
export type SinkFault = "refuse" | "fail" | "drop" | "hang" | "stall" | "slow";

export interface FaultRule {
  fault: SinkFault;
  /** Requests of the same tool about the same thing, counted from 1. */
  nth?: number;
  /** Share of the requests, chosen by the seed, the thing and the count: the same ones in every run of a seed. */
  rate?: number;
}

export interface ToolRules {
  /** Answers a key that it knows with the first result; otherwise every request is an effect. */
  honoursKeys?: boolean;
  faults?: FaultRule[];
}

export interface SinkOptions {
  log: string;
  port?: number;
  seed?: number;
  slowMillis?: number;
  tools?: Record<string, ToolRules>;
}

const bodyBytesMax = 1_000_000;
const linesMax = 1_000_000;

/** The outside world: does what it is told, and writes each effect to a log that is flushed before anybody is answered. */
export async function serveEffects(options: SinkOptions): Promise<{ url: string; stop(): Promise<void> }> {
  const log = await openLog(options.log);
  const asked = new Map<string, number>();
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, kind, name = ""] = (request.url ?? "").split("/");
    if (request.method === "GET" && kind === "effects") return lookUp(response, decodeURIComponent(name));
    if (request.method !== "POST" || kind !== "tools")
      return answer(response, 404, { error: "no such path" });
    const { about, args } = JSON.parse(await bodyOf(request)) as { about: string; args: unknown };
    const key = request.headers["idempotency-key"];
    await act({ tool: decodeURIComponent(name), about, args, key: String(key ?? "") || null }, response);
  }
  async function lookUp(response: ServerResponse, key: string): Promise<void> {
    const line = log.byKey.get(key);
    return line === undefined
      ? answer(response, 404, { found: false })
      : answer(response, 200, { found: true, result: resultOf(await line) });
  }
  async function act(call: Pick<EffectLine, "tool" | "about" | "args" | "key">, response: ServerResponse) {
    const rules = options.tools?.[call.tool] ?? {};
    const nth = (asked.get(`${call.tool}|${call.about}`) ?? 0) + 1;
    asked.set(`${call.tool}|${call.about}`, nth);
    const fault = rules.faults?.find((rule) =>
      strikes(rule, { seed: options.seed ?? 0, nth, ...call }),
    )?.fault;
    if (fault === "slow") await sleep(options.slowMillis ?? 300);
    if (fault === "stall") return;
    if (fault === "refuse") {
      await log.write({ what: "refused", ...call, receipt: null, fault });
      return answer(response, 503, { error: "refused before anything happened" });
    }
    const line = await commit(call, rules.honoursKeys ?? true, fault ?? null);
    if (fault === "fail") return answer(response, 500, { error: "failed, after it happened" });
    if (fault === "hang") return;
    if (fault === "drop") return void response.socket?.resetAndDestroy();
    return answer(response, 200, resultOf(line));
  }
  async function commit(
    call: Pick<EffectLine, "tool" | "about" | "args" | "key">,
    honoursKeys: boolean,
    fault: string | null,
  ): Promise<EffectLine> {
    const known = call.key === null ? undefined : log.byKey.get(call.key);
    if (known !== undefined && honoursKeys) {
      const first = await known;
      await log.write({ what: "repeated", ...call, receipt: first.receipt, fault });
      return first;
    }
    return log.write({ what: "committed", ...call, receipt: `${call.tool}-${log.count() + 1}`, fault });
  }
  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
      await log.close();
    },
  };
}

const resultOf = ({ tool, about, key, receipt }: EffectLine) => ({ tool, about, key, receipt });

function strikes(
  { fault, nth, rate }: FaultRule,
  call: { seed: number; tool: string; about: string; nth: number },
): boolean {
  if (nth !== undefined) return nth === call.nth;
  const digest = createHash("sha256")
    .update(`${call.seed}|${fault}|${call.tool}|${call.about}|${call.nth}`)
    .digest();
  return digest.readUInt32BE() / 2 ** 32 < (rate ?? 0);
}

type Unwritten = Omit<EffectLine, "seq">;

/** Lines that arrive while a flush is under way travel in the next one: thousands of effects a second, each durable. */
async function openLog(file: string) {
  const { lines, handle } = await recover(file);
  let seq = lines.length;
  const byKey = new Map<string, Promise<EffectLine>>();
  for (const line of lines) remember(line.what, line.key, Promise.resolve(line));
  let waiting: string[] = [];
  let flushing: Promise<void> | undefined;
  function remember(what: string, key: string | null, line: Promise<EffectLine>): void {
    if (what === "committed" && key !== null && !byKey.has(key)) byKey.set(key, line);
  }
  async function flush(): Promise<void> {
    await Promise.resolve();
    const text = waiting.join("");
    waiting = [];
    await handle.appendFile(text);
    await handle.datasync();
  }
  async function durable(line: EffectLine): Promise<EffectLine> {
    waiting.push(`${JSON.stringify(line)}\n`);
    const before = flushing;
    if (waiting.length === 1) flushing = before === undefined ? flush() : before.then(flush);
    await flushing;
    return line;
  }
  return {
    byKey,
    count: () => seq,
    write(unwritten: Unwritten): Promise<EffectLine> {
      if (seq >= linesMax) throw new Error(`the log holds ${linesMax} lines`);
      seq += 1;
      const line = durable({ seq, ...unwritten });
      remember(unwritten.what, unwritten.key, line);
      return line;
    },
    async close() {
      await flushing;
      await handle.close();
    },
  };
}

/** What an earlier process has written; a torn last line goes, for it was never answered. */
async function recover(file: string): Promise<{ lines: EffectLine[]; handle: FileHandle }> {
  const handle = await open(file, "a");
  const text = await readFile(file, "utf8");
  const whole = wholeLines(text);
  await truncate(file, Buffer.byteLength(whole.map((line) => `${line}\n`).join("")));
  return { lines: whole.map((line) => JSON.parse(line) as EffectLine), handle };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    if (bytes > bodyBytesMax) throw new Error("the body is too large");
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

async function answer(response: ServerResponse, status: number, body: unknown): Promise<void> {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
