import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { MiddlewareHandler } from "hono";
import { anyApiKey, findApiKeys } from "../db/queries/keys.ts";
import { one } from "../db/query.ts";
import { headersOf, userOfPrincipal } from "./caller.ts";
import type { HttpConfig, HttpDeps, HttpEnv, Principal, RequestContext } from "./deps.ts";
import { Refused } from "./errors.ts";
import { isUi } from "./guard.ts";
import { senderIn } from "./loopback.ts";
import { accessOf } from "./program-auth.ts";

const prefixBytes = 4;
const secretBytes = 32;
const keyForm = /^hf_([0-9a-f]{8})_[A-Za-z0-9_-]{43}$/;
/** How long a process may still believe that no key exists. */
const cacheMillis = 5_000;

const anonymous: Principal = { name: "anonymous", tenant: "default" };
/** What load balancers, clients and browsers ask before they have a key: nothing of a tenant is in it. */
const openPaths = new Set(["/livez", "/readyz", "/info", "/openapi.json", "/docs"]);

const hashOf = (key: string): Buffer => createHash("sha256").update(key).digest();

/** A new key. Only its hash is stored: it is shown once. */
export function makeApiKey(): { key: string; prefix: string; hash: Buffer } {
  const prefix = randomBytes(prefixBytes).toString("hex");
  const key = `hf_${prefix}_${randomBytes(secretBytes).toString("base64url")}`;
  return { key, prefix, hash: hashOf(key) };
}

/** Names the principal of every request. Without any key in the database, and not told otherwise, all are welcome. */
export function authenticate(
  deps: Pick<HttpDeps, "db" | "auth"> & { config: Pick<HttpConfig, "authRequired"> },
): MiddlewareHandler<HttpEnv> {
  const required = requirement(deps.db, deps.config.authRequired);
  return async (c, next) => {
    const principal = isOpen(c) ? anonymous : await whoAsks(deps, c, required);
    const configurable = () => ({ ...headersOf(c.req.raw.headers), ...userOfPrincipal(principal) });
    c.set("principal", { ...principal, configurable });
    return next();
  };
}

const isOpen = (c: RequestContext): boolean =>
  openPaths.has(c.req.path) || (c.req.method === "GET" && isUi(c.req.path));

/** A key of ours names its tenant; everybody else is whom the program's own auth says, where there is one. */
async function whoAsks(
  { db, auth }: Pick<HttpDeps, "db" | "auth">,
  c: RequestContext,
  required: () => Promise<boolean>,
): Promise<Principal> {
  const inside = senderIn(c.env ?? {});
  if (inside !== undefined) return asUser(c, inside);
  const key = presentedKey(c);
  const holder = key === undefined ? undefined : await principalOf(db, key);
  if (holder !== undefined) return holder;
  // A wrong key is refused also where none is needed: its holder believes to be somebody.
  if (key?.startsWith("hf_")) throw unauthorized();
  if (auth !== undefined) {
    const user = await auth.authenticate(c.req.raw);
    return asUser(c, { name: user.identity, tenant: anonymous.tenant, access: accessOf(auth, user) });
  }
  if (await required()) throw unauthorized();
  return anonymous;
}

function asUser(c: RequestContext, principal: Principal): Principal {
  const { access } = principal;
  if (access !== undefined) c.set("auth", { user: access.user, scopes: access.user.permissions });
  return principal;
}

const unauthorized = (): Refused =>
  new Refused(401, "Unauthorized", { headers: { "www-authenticate": "Bearer" } });

/** Whether keys exist, read at most every five seconds. */
function requirement(db: HttpDeps["db"], always: boolean): () => Promise<boolean> {
  let known: { required: boolean; until: number } | undefined;
  return async () => {
    if (always) return true;
    if (known !== undefined && performance.now() < known.until) return known.required;
    const required = one(await anyApiKey(db, undefined)) ?? false;
    known = { required, until: performance.now() + cacheMillis };
    return required;
  };
}

function presentedKey(c: RequestContext): string | undefined {
  const header = c.req.header("x-api-key");
  if (header !== undefined && header !== "") return header;
  return /^Bearer (.+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
}

async function principalOf(db: HttpDeps["db"], key: string): Promise<Principal | undefined> {
  const prefix = keyForm.exec(key)?.[1];
  if (prefix === undefined) return undefined;
  const hash = hashOf(key);
  const rows = await findApiKeys(db, { prefix });
  const found = rows.find((row) => row.hash.length === hash.length && timingSafeEqual(row.hash, hash));
  return found === undefined ? undefined : { name: found.name, tenant: found.tenant };
}
