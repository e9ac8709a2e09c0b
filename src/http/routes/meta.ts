import { Hono } from "hono";
import { breakersMax, listBreakers } from "../../db/queries/breakers.ts";
import { deadLetterDepth } from "../../db/queries/dead-letters.ts";
import { countUnclear } from "../../db/queries/effect-reads.ts";
import { queueDepth } from "../../db/queries/runs.ts";
import { one } from "../../db/query.ts";
import type { HttpDeps, HttpEnv } from "../deps.ts";
import { operatorOnly } from "../guard.ts";

/** A scrape must not hang with the database. */
const scrapeMillisMax = 2_000;

type Probed = Pick<HttpDeps, "db" | "log" | "metrics" | "ready">;

/** What those ask who watch a process, whatever its roles. */
export function probeRoutes(deps: Probed): Hono<HttpEnv> {
  const { metrics, ready } = deps;
  const routes = new Hono<HttpEnv>();
  routes.get("/livez", (c) => c.json({ ok: true }));
  routes.get("/readyz", async (c) =>
    (await ready()) ? c.json({ ok: true }) : c.json({ ok: false }, 503, { "retry-after": "1" }),
  );
  routes.get("/metrics", async (c) => {
    operatorOnly(c);
    await withinScrape(measureQueue(deps));
    await withinScrape(measureBreakers(deps));
    return c.body(await metrics.text(), 200, { "content-type": metrics.contentType });
  });
  return routes;
}

export function metaRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const { config, programHttp } = deps;
  const routes = probeRoutes(deps);
  if (programHttp?.disable_meta === true) return routes;
  routes.get("/ok", (c) => c.json({ ok: true }));
  routes.get("/info", (c) => {
    const assistants = programHttp?.disable_assistants !== true;
    const flags = { assistants, crons: true, langsmith: false, langsmith_tracing_replicas: false };
    return c.json({ version: config.version, context: "js", flags });
  });
  return routes;
}

/** Depths are read when somebody looks: a gauge kept beside the rows would drift from them. */
async function measureQueue({ db, metrics, log }: Probed): Promise<void> {
  try {
    metrics.deadLetterDepth.set(one(await deadLetterDepth(db, undefined)) ?? 0);
    const rows = await queueDepth(db, undefined);
    metrics.queueDepth.reset();
    for (const state of ["queued", "blocked", "running"]) {
      metrics.queueDepth.set({ state }, rows.find((row) => row.status === state)?.count ?? 0);
    }
    metrics.effectsUnknown.set(one(await countUnclear(db, undefined)) ?? 0);
    metrics.oldest.set(Math.max(0, rows.find((row) => row.status === "queued")?.oldestSeconds ?? 0));
  } catch (error) {
    log.warn({ error }, "the queue could not be measured");
  }
}

const breakerLevels = { closed: 0, half_open: 1, open: 2 } as const;

async function measureBreakers({ db, metrics, log }: Probed): Promise<void> {
  try {
    const rows = await listBreakers(db, { limit: breakersMax });
    metrics.breakerState.reset();
    for (const { target, state } of rows) metrics.breakerState.set({ target }, breakerLevels[state]);
  } catch (error) {
    log.warn({ error }, "the breakers could not be measured");
  }
}

async function withinScrape(work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, scrapeMillisMax);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}
