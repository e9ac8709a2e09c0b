// How the program's own code, and the server itself, reach the app without a network.
import type { Principal } from "./deps.ts";

export interface App {
  request(
    url: string | URL | Request,
    init?: RequestInit,
    bindings?: { [from]?: Principal },
  ): Response | Promise<Response>;
}
type Fetch = (url: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** Where `new Client()` of the SDK looks when it is given no URL. */
const clientFetch = Symbol.for("langgraph_api:fetch");

/** Until the returned function is called; of two apps in one process the later one has it. */
export function bindClientFetch(app: App): () => void {
  const own: Fetch = async (url, init) => app.request(url, init);
  Reflect.set(globalThis, clientFetch, own);
  return () => {
    if (Reflect.get(globalThis, clientFetch) === own) Reflect.deleteProperty(globalThis, clientFetch);
  };
}

/** In the bindings of a request that comes from the server itself. No request over a network has it. */
const from = Symbol("from");

/** Whose request this is, where the server itself has made it. */
export const senderIn = (bindings: { [from]?: Principal } | undefined): Principal | undefined =>
  bindings?.[from];

/** A request of the server to its own app, with no more rights than this principal has. */
export async function requestAs(
  app: App,
  principal: Principal,
  { path, ...init }: { path: string; method: string; headers: Record<string, string>; body: string },
): Promise<Response> {
  return app.request(path, init, { [from]: principal });
}
