// Threads by their callers' own keys: wherever a thread's id stands in a path, `key:` and a key may stand instead.
import type { MiddlewareHandler } from "hono";
import { keyOf, threadKeyHint } from "../domain/thread-key.ts";
import type { HttpEnv } from "./deps.ts";
import { Refused } from "./errors.ts";
import type { ThreadKeys } from "./thread-keys.ts";

/** For `/threads/:thread_id…`: turns a key of the path into its thread's id. */
export function resolveThreadKey(keys: ThreadKeys): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const shown = c.req.param("thread_id");
    const key = shown === undefined ? undefined : keyOf(shown);
    if (key === null) {
      const issue = {
        validation: "uuid",
        code: "invalid_string",
        message: threadKeyHint,
        path: ["thread_id"],
      };
      throw new Refused(400, `thread_id: ${threadKeyHint}`, { issues: [issue] });
    }
    if (key !== undefined) {
      c.set("keyed", { key, threadId: await keys.idOf({ tenant: c.get("principal").tenant, key }) });
    }
    return next();
  };
}
