// Sends what the OpenAPI document makes possible to the app, beside a worker that works on what comes of it.
import path from "node:path";
import fc from "fast-check";
import { loadRegistry } from "../../src/engine/registry.ts";
import { createApp } from "../../src/http/app.ts";
import { httpDefaults } from "../../src/http/deps.ts";
import { makeDocument } from "../../src/http/openapi/document.ts";
import { operations } from "../../src/http/openapi/operations.ts";
import { clientViolations } from "../support/invariants.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";
import { AnswerCheck, type Received } from "./answers.ts";
import { components } from "./good.ts";
import { Pool } from "./pool.ts";
import { type PlannedRequest, requestsOf } from "./requests.ts";
import { sow } from "./seeds.ts";

const project = path.resolve(import.meta.dirname, "../graphs/fuzz/langgraph.json");
const plansPerBatch = 250;
const atOnce = 6;
const answerMillisMax = 240_000;
const triesMax = 20;
const backMillis = 1_000;
const faultsShownMax = 25;
/** How long a client listens to a stream before it leaves. */
const listenMillis = 40;
/** How long a client waits for the end of a run. */
const leaveMillis = 3_000;
const drainMillisMax = 120_000;

export interface FuzzReport {
  requests: number;
  seconds: number;
  seed: number;
  statuses: Record<string, number>;
  /** How often each operation gave which status. */
  answers: Record<string, Record<string, number>>;
  /** Operations that never succeeded: what lies behind their door was not reached. */
  unreached: string[];
  faults: string[];
}

export interface FuzzChoices {
  requests: number;
  seed: number;
  /** A migrated database; else a test's own. */
  url?: string;
}

export async function runFuzz({ requests, seed, ...database }: FuzzChoices): Promise<FuzzReport> {
  const runtime = await startRuntime({
    ...database,
    registry: await loadRegistry(project, (url) => import(url)),
  });
  const stray: string[] = [];
  const onStray = (error: unknown): void => {
    stray.push(`an unhandled rejection: ${String((error as Error)?.stack ?? error)}`);
  };
  process.on("unhandledRejection", onStray);
  try {
    runtime.work({ slotsMax: 16, pollMillis: 50, webhooks: { secrets: [], allowPrivate: false } });
    const fuzz = new Fuzz(runtime);
    const started = performance.now();
    await fuzz.sow();
    await fuzz.send({ requests, seed });
    const seconds = (performance.now() - started) / 1_000;
    const faults = [...fuzz.faults, ...stray, ...(await fuzz.aftermath())];
    return {
      requests: fuzz.sent,
      seconds,
      seed,
      statuses: fuzz.statuses,
      answers: fuzz.answers,
      unreached: fuzz.unreached(),
      faults,
    };
  } finally {
    process.off("unhandledRejection", onStray);
    await runtime.close();
  }
}

class Fuzz {
  readonly faults: string[] = [];
  readonly statuses: Record<string, number> = {};
  readonly answers: Record<string, Record<string, number>> = Object.fromEntries(
    operations.map(({ id }) => [id, {}]),
  );
  readonly #pool = new Pool();
  readonly #document = makeDocument(operations, "fuzz");
  readonly #check = new AnswerCheck(this.#document);
  readonly #app: ReturnType<typeof createApp>;
  readonly #runtime: TestRuntime;
  sent = 0;

  constructor(runtime: TestRuntime) {
    this.#runtime = runtime;
    const config = { ...httpDefaults, version: "fuzz", pollMillis: 50 };
    this.#app = createApp({ ...runtime, config, ready: async () => true, programUi: components });
  }

  async sow(): Promise<void> {
    await sow(async (method, url, body) => {
      const answer = await this.#json(method, url, body);
      this.#pool.learn(answer);
      return answer;
    });
  }

  async send({ requests, seed }: { requests: number; seed: number }): Promise<void> {
    const arbitrary = requestsOf(this.#document);
    for (let batch = 0; this.sent < requests && this.faults.length < faultsShownMax; batch += 1) {
      const numRuns = Math.min(plansPerBatch, requests - this.sent);
      const plans = fc.sample(arbitrary, { seed: seed + batch, numRuns });
      const senders = Array.from({ length: atOnce }, async () => {
        for (let plan = plans.pop(); plan !== undefined; plan = plans.pop()) await this.#one(plan);
      });
      await Promise.all(senders);
    }
  }

  async #one(plan: PlannedRequest): Promise<void> {
    this.sent += 1;
    const { url, init } = this.#written(plan);
    const label = `${init.method} ${url.slice(0, 300)} ${String(init.body ?? "").slice(0, 1_000)}`;
    try {
      const received = await this.#received(url, init);
      const { status, text } = received;
      for (const counts of [this.statuses, this.answers[plan.operation.operationId]!])
        counts[status] = (counts[status] ?? 0) + 1;
      if (plan.method === "delete" && status < 300)
        this.#pool.forget(new URL(url, "http://fuzz").pathname.split("/").at(-1) ?? "");
      const fault = this.#check.faultOf(plan, received);
      if (fault !== null) this.faults.push(`${label}\n  ${fault}`);
      else if (text.trim() !== "" && received.headers.get("content-type")?.includes("json"))
        this.#pool.learn(JSON.parse(text));
    } catch (error) {
      this.faults.push(`${label}\n  threw ${String((error as Error).stack)}`);
    }
  }

  #written(plan: PlannedRequest): { url: string; init: RequestInit & { method: string } } {
    let url = plan.path;
    const query = new URLSearchParams();
    const headers: Record<string, string> = { "content-type": "application/json" };
    for (const { parameter, filled } of this.#pool.parameters(plan.parameters)) {
      const text = (typeof filled === "string" ? filled : JSON.stringify(filled)).toWellFormed();
      if (parameter.in === "header") headers[parameter.name] = text;
      else if (parameter.in === "query") query.append(parameter.name, text);
      // An empty part would be another path.
      else url = url.replace(`{${parameter.name}}`, encodeURIComponent(text).replace(/^\.{0,2}$/, "%20"));
    }
    const { body } = plan;
    const text =
      body === null ? null : "text" in body ? body.text : JSON.stringify(this.#pool.filled(body.json));
    const init = { method: plan.method.toUpperCase(), headers, ...(text === null ? {} : { body: text }) };
    return { url: query.size === 0 ? url : `${url}?${query}`, init };
  }

  /** On a machine that is slow for a while a 503 is the right answer: a client comes back later. */
  async #answer(url: string, init: RequestInit): Promise<Response> {
    for (let tries = 1; ; tries += 1) {
      const response = await this.#app.request(url, init);
      if (response.status !== 503 || response.headers.get("retry-after") === null || tries === triesMax)
        return response;
      await new Promise((resolve) => setTimeout(resolve, backMillis));
    }
  }

  async #received(url: string, init: RequestInit): Promise<Received> {
    const gone = AbortSignal.timeout(answerMillisMax);
    const late = new Promise<never>((_, reject) => {
      gone.addEventListener("abort", () => reject(new Error(`no answer in ${answerMillisMax} ms`)));
    });
    // Who waits for the end of a run leaves after a while, as a client would.
    const signal = AbortSignal.timeout(leaveMillis);
    const response = await Promise.race([this.#answer(url, { ...init, signal }), late]);
    const { status, headers } = response;
    const bounded = /\/(stream|wait|join)\b/.test(url) && status === 200;
    const read = bounded ? beginningOf(response) : response.text().then((text) => ({ text, cut: false }));
    return { status, headers, ...(await Promise.race([read, late])) };
  }

  unreached(): string[] {
    return Object.entries(this.answers)
      .filter(([, counts]) => succeeded(counts) === 0)
      .map(([id]) => id);
  }

  /** What is wrong once everything has come to rest. */
  async aftermath(): Promise<string[]> {
    const { db } = this.#runtime;
    await db.query({ text: "delete from holdfast.crons", values: [] });
    const until = performance.now() + drainMillisMax;
    for (;;) {
      await this.#json("POST", "/runs/cancel", { status: "all" });
      const open = "select 1 from holdfast.runs where status in ('queued', 'running', 'blocked') limit 1";
      if ((await db.query({ text: open, values: [] })).rows.length === 0) break;
      if (performance.now() > until) return ["runs did not end", ...(await clientViolations(db))];
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return [...(await clientViolations(db)), ...(await this.#stillWorks())];
  }

  async #stillWorks(): Promise<string[]> {
    const { thread_id } = (await this.#json("POST", "/threads", {})) as { thread_id: string };
    const run = { assistant_id: "steps", input: { seen: ["zero"] } };
    const values = await this.#json("POST", `/threads/${thread_id}/runs/wait`, run);
    const expected = JSON.stringify({ seen: ["zero", "one", "two"] });
    return JSON.stringify(values) === expected ? [] : [`a run afterwards gave ${JSON.stringify(values)}`];
  }

  async #json(method: string, url: string, body: unknown): Promise<unknown> {
    const response = await this.#answer(url, { method, body: JSON.stringify(body) });
    const text = await response.text();
    return text === "" ? undefined : JSON.parse(text);
  }
}

export const succeeded = (counts: Record<string, number>): number =>
  Object.entries(counts).reduce((sum, [status, count]) => sum + (Number(status) < 300 ? count : 0), 0);

/** As much as comes at once, then the client leaves. */
async function beginningOf(response: Response): Promise<Pick<Received, "text" | "cut">> {
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  const until = performance.now() + listenMillis;
  let text = "";
  for (;;) {
    const millis = until - performance.now();
    const left = new Promise<"left">((resolve) => setTimeout(() => resolve("left"), Math.max(0, millis)));
    const next = millis <= 0 ? ("left" as const) : await Promise.race([reader.read(), left]);
    if (next === "left") {
      await reader.cancel();
      return { text, cut: true };
    }
    if (next.done) return { text, cut: false };
    text += decoder.decode(next.value, { stream: true });
  }
}
