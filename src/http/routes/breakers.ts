import { Hono } from "hono";
import { type BreakerRow, breakersMax, force, listBreakers, unforce } from "../../db/queries/breakers.ts";
import { one } from "../../db/query.ts";
import { InvalidInput, NotFound } from "../../domain/errors.ts";
import type { HttpDeps, HttpEnv, RequestContext } from "../deps.ts";
import { operatorOnly } from "../guard.ts";

const targetCharsMax = 300;
/** As they are made: the provider's host and the model's name, which may hold slashes of its own. */
const targetShape = /^[^/\s]+\/\S+$/;

/** The breakers of the models, and an operator's word about them. They are shared by all workers and tenants. */
export function breakerRoutes({ db, log }: HttpDeps): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.use("/breakers/*", (c, next) => {
    operatorOnly(c);
    return next();
  });
  const told = (c: RequestContext, row: BreakerRow, action: string): Response => {
    const { name: principal } = c.get("principal");
    log.warn({ target: row.target, action, principal }, "breaker set by hand");
    return c.json(row);
  };
  routes.get("/breakers", async (c) => c.json(await listBreakers(db, { limit: breakersMax })));
  routes.post("/breakers/:target/open", async (c) => {
    const [row] = await force(db, { target: targetOf(c), state: "open" });
    return told(c, row as BreakerRow, "open");
  });
  routes.post("/breakers/:target/close", async (c) => {
    const [row] = await force(db, { target: targetOf(c), state: "closed" });
    return told(c, row as BreakerRow, "close");
  });
  routes.post("/breakers/:target/auto", async (c) => {
    const target = targetOf(c);
    const row = one(await unforce(db, { target }));
    if (row === undefined) throw new NotFound(`Breaker ${target} not found`);
    return told(c, row, "auto");
  });
  return routes;
}

/** A slash in it comes as %2F. */
function targetOf(c: RequestContext): string {
  const target = c.req.param("target") ?? "";
  if (target.length <= targetCharsMax && targetShape.test(target)) return target;
  throw new InvalidInput("target: expected a provider and a model, as in api.openai.com%2Fgpt-4.1-mini", {
    field: "target",
  });
}
