import { Hono } from "hono";
import { listDeliveries, redriveDelivery } from "../../db/queries/webhooks.ts";
import { one } from "../../db/query.ts";
import { NotFound } from "../../domain/errors.ts";
import { type HttpDeps, type HttpEnv, type RequestContext, tenantOf } from "../deps.ts";
import { ask } from "../guard.ts";
import { pathId, readQuery } from "../schemas/common.ts";
import { deliveriesQuery } from "../schemas/webhook.ts";

/** What became of webhooks, and another try for those that were given up. */
export function webhookRoutes(deps: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.get("/webhooks", (c) => list(deps, c));
  routes.post("/webhooks/:delivery_id/redrive", (c) => redrive(deps, c));
  return routes;
}

async function list({ db }: HttpDeps, c: RequestContext): Promise<Response> {
  const { status, run_id, limit, offset } = readQuery(c, deliveriesQuery);
  const access = await ask(c.get("principal"), "threads:search", {});
  const filter = { tenant: tenantOf(c), status: status ?? null, runId: run_id ?? null, access };
  return c.json(await listDeliveries(db, { ...filter, limit, offset }));
}

async function redrive({ db }: HttpDeps, c: RequestContext): Promise<Response> {
  const deliveryId = pathId(c, "delivery_id");
  const access = await ask(c.get("principal"), "threads:update", {});
  const row = one(await redriveDelivery(db, { deliveryId, tenant: tenantOf(c), access }));
  if (row === undefined) throw new NotFound(`No webhook ${deliveryId} was given up`);
  return c.json(row, 202);
}
