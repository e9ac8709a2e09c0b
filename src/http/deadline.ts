import type { MiddlewareHandler } from "hono";
import type { HttpDeps, HttpEnv } from "./deps.ts";
import { Refused } from "./errors.ts";

/** Together the five seconds after which a client learns that the database is away. */
const patienceMillis = 4_000;
const probeMillis = 900;

/**
 * A link that went dead without a word would hold a request until the pool gives up on it. When an answer takes long,
 * the database is asked for a sign of life; slow work on a live database is left alone.
 */
export function answerInTime({ db }: Pick<HttpDeps, "db">): MiddlewareHandler<HttpEnv> {
  const probe = (): Promise<boolean> =>
    db.query({ text: "select 1", values: [] }).then(
      () => true,
      () => false,
    );
  return async (_c, next) => {
    const work = next().then(() => "done" as const);
    while (!(await within(work, patienceMillis))) {
      const alive = within(probe(), probeMillis).then((value) => value === true);
      if ((await Promise.race([work, alive])) === false) {
        throw new Refused(503, "the database is away", { headers: { "retry-after": "1" } });
      }
    }
  };
}

/** What the promise gives; undefined when that takes longer. */
async function within<T>(promise: Promise<T>, millis: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), millis);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
