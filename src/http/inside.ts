import { userIn } from "../domain/caller.ts";
import type { HttpDeps, Principal } from "./deps.ts";
import { type App, requestAs } from "./loopback.ts";
import { type AuthUser, accessOf } from "./program-auth.ts";

interface Told {
  path: string;
  headers: Record<string, string>;
  body: string;
  /** Whose run it was. */
  tenant: string;
  configurable: Readonly<Record<string, unknown>>;
}

/** Sends webhooks into the app, each with the rights of whoever started the run: a path is no way around them. */
export function postInside(
  app: App,
  { auth }: Pick<HttpDeps, "auth">,
): (told: Told) => Promise<{ status: number; header(name: string): string | undefined }> {
  return async (told) => {
    const { path, headers, body } = told;
    const response = await requestAs(app, senderOf(told, auth), { path, method: "POST", headers, body });
    await response.body?.cancel();
    return { status: response.status, header: (name) => response.headers.get(name) ?? undefined };
  };
}

function senderOf({ tenant, configurable }: Told, auth: HttpDeps["auth"]): Principal {
  const { langgraph_auth_user: user } = userIn(configurable);
  return auth === undefined || !isUser(user)
    ? { name: "webhook", tenant }
    : { name: user.identity, tenant, access: accessOf(auth, user) };
}

/** As the program's auth said it when the run was accepted. */
const isUser = (user: unknown): user is AuthUser =>
  typeof user === "object" && user !== null && typeof (user as Partial<AuthUser>).identity === "string";
