import { Annotation, END, START, StateGraph } from "@langchain/langgraph";
import { Transient } from "../../src/domain/errors.ts";
import { effect } from "../../src/effects/effect.ts";
import { createApp } from "../../src/http/app.ts";
import { type HttpConfig, httpDefaults } from "../../src/http/deps.ts";
import { type Sent, sentOf } from "./http.ts";
import type { TestRuntime } from "./runtime.ts";

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => a.concat(b), default: () => [] }),
  fail: Annotation<string>(),
});

/** What the graph below does to the world, and whether its last node works. */
export interface World {
  broken: boolean;
  paid: string[];
}

/** Plans, pays once, and fails as `fail` says while the world is broken: `transient`, `quota`, any other text. */
export function payingGraph(world: World) {
  return new StateGraph(State)
    .addNode("plan", () => ({ log: ["planned"] }))
    .addNode("pay", async ({ fail }) => {
      if (fail === "early" && world.broken) throw new TypeError("nothing to pay");
      await effect({ name: "pay", args: { sum: 7 } }, async (key) => world.paid.push(key));
      return { log: ["paid"] };
    })
    .addNode("tell", ({ fail }) => {
      if (!world.broken || fail === undefined) return { log: ["told"] };
      if (fail === "transient")
        throw new Transient("the mail server is away", { cause: new Error("socket 17 closed") });
      if (fail === "quota") throw Object.assign(new Error("no credit left"), { status: 402 });
      throw new TypeError(fail, { cause: new RangeError("row 12") });
    })
    .addEdge(START, "plan")
    .addEdge("plan", "pay")
    .addEdge("pay", "tell")
    .addEdge("tell", END)
    .compile();
}

export type Send = (method: string, url: string, body?: unknown) => Promise<Sent>;

export function senderOf(
  runtime: TestRuntime,
  config: Partial<HttpConfig> = {},
): { app: ReturnType<typeof createApp>; send: Send } {
  const app = createApp({
    ...runtime,
    config: { ...httpDefaults, version: "test", ...config },
    ready: async () => true,
  });
  const send: Send = async (method, url, body) => {
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    return sentOf(
      await app.request(url, { method, headers: { "content-type": "application/json" }, ...init }),
    );
  };
  return { app, send };
}

/** Says for every effect of a thread on which checkpoint its task ran, where its ledger did not. */
export async function placeEffects(
  { db }: TestRuntime,
  threadId: string,
  checkpointId: string,
): Promise<void> {
  await db.query({
    text: "update holdfast.effects set checkpoint_id = $2 where thread_id = $1 and checkpoint_id is null",
    values: [threadId, checkpointId],
  });
}

/** A digest of every row that a request could change. */
export async function rowsDigest({ db }: Pick<TestRuntime, "db">): Promise<string> {
  const tables = [
    "holdfast.runs",
    "holdfast.threads",
    "holdfast.escalations",
    "holdfast.effects",
    "public.checkpoints",
  ];
  const parts = tables.map(
    (table) => `(select coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from ${table} t)`,
  );
  const { rows } = await db.query({
    text: `select concat_ws(' ', ${parts.join(", ")}) as digest`,
    values: [],
  });
  return String(rows[0]?.digest);
}
