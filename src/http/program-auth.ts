// The program's own auth (`auth.path` of langgraph.json): who a caller is, and which things the caller may see.
import { setTimeout as sleep } from "node:timers/promises";
import { type AccessFilter, accessFilter } from "../domain/access.ts";
import { type ImportModule, importExport } from "../engine/exported.ts";
import { type Project, ProjectError } from "../engine/project.ts";
import { Refused } from "./errors.ts";

/** One callback may ask an identity provider; a request does not wait for it for ever. */
export const authSecondsMax = 30;
export const userBytesMax = 16 * 1024;
export const identityCharsMax = 256;

/** Who a program's own auth says that somebody is; more fields as it likes. */
export interface AuthUser {
  identity: string;
  permissions: string[];
  is_authenticated: boolean;
  display_name: string;
  [field: string]: unknown;
}

export interface Question {
  resource: string;
  action: string;
  value: object;
  user: AuthUser;
}

export interface ProgramAuth {
  /** Throws Refused as the program says. */
  authenticate(request: Request): Promise<AuthUser>;
  /** The filter that the answer must pass, null where anything may; throws Refused. The handler may change `value`. */
  ask(question: Question): Promise<AccessFilter | null>;
}

type Actions = {
  threads: "create" | "read" | "update" | "delete" | "search" | "create_run";
  assistants: "create" | "read" | "update" | "delete" | "search";
  crons: "create" | "read" | "update" | "delete" | "search";
  store: "put" | "get" | "search" | "list_namespaces" | "delete";
};
export type AuthEvent = { [R in keyof Actions]: `${R}:${Actions[R]}` }[keyof Actions];
export type ThreadAction = Actions["threads"];

/** The handlers of the program, about one user. */
export interface Access {
  readonly user: AuthUser;
  ask(event: AuthEvent, value: object): Promise<AccessFilter | null>;
  /** Whether the request has asked anything yet. */
  readonly asked: boolean;
}

export function accessOf(auth: ProgramAuth, user: AuthUser): Access {
  let asked = false;
  return {
    user,
    get asked() {
      return asked;
    },
    ask(event, value) {
      asked = true;
      const [resource = "", action = ""] = event.split(":");
      return auth.ask({ resource, action, value, user });
    },
  };
}

type Callback = (told: object) => unknown;
interface Handlers {
  authenticate: (request: Request) => unknown;
  callbacks?: Record<string, Callback>;
}

/** Throws ProjectError when the file does not export an Auth of the SDK that can tell who somebody is. */
export async function loadProgramAuth(
  project: Project,
  importModule: ImportModule,
): Promise<ProgramAuth | undefined> {
  const target = project.auth?.path;
  if (target === undefined) return undefined;
  const { value, refuse } = await importExport({ project, place: "auth.path", target, importModule });
  const handlers = handlersOf(value);
  if (handlers === undefined) throw refuse("an Auth of @langchain/langgraph-sdk/auth");
  if (typeof handlers.authenticate !== "function")
    throw new ProjectError(
      `${project.file}: auth.path: ${target} has no authenticate handler: its other handlers would never be asked`,
    );
  return programAuth(handlers as Handlers);
}

function handlersOf(value: unknown): Partial<Handlers> | undefined {
  if (typeof value !== "object" || value === null || !("~handlerCache" in value)) return undefined;
  const handlers = value["~handlerCache"];
  return typeof handlers === "object" && handlers !== null ? handlers : undefined;
}

function programAuth({ authenticate, callbacks = {} }: Handlers): ProgramAuth {
  return {
    authenticate: async (request) => userOf(await answerOf(() => authenticate(request))),
    async ask({ resource, action, value, user }) {
      const event = `${resource}:${action}`;
      const name = [event, resource, `*:${action}`, "*"].find((each) => Object.hasOwn(callbacks, each));
      const callback = name === undefined ? undefined : callbacks[name];
      if (callback === undefined) return null;
      const told = { event, resource, action, value, permissions: user.permissions, user };
      const answer = await answerOf(() => callback(told));
      if (answer === null || answer === undefined || answer === true) return null;
      if (answer === false) throw new Refused(403, "Forbidden");
      if (typeof answer === "object") return accessFilter(answer);
      throw new Error(
        `the auth handler ${name} answered with a ${typeof answer}: expected a filter or a boolean`,
      );
    },
  };
}

async function answerOf(callback: () => unknown): Promise<unknown> {
  const stop = new AbortController();
  const late = sleep(authSecondsMax * 1_000, undefined, { signal: stop.signal }).then(
    () => {
      throw new Refused(503, "auth did not answer in time", { headers: { "retry-after": "1" } });
    },
    () => undefined,
  );
  try {
    return await Promise.race([Promise.resolve().then(callback), late]);
  } catch (error) {
    throw refusalOf(error) ?? error;
  } finally {
    stop.abort();
  }
}

/** What the SDK's HTTPException looks like: the program may have a copy of the SDK of its own. */
function refusalOf(error: unknown): Refused | undefined {
  if (!(error instanceof Error) || !("status" in error) || !("headers" in error)) return undefined;
  const { status, message, headers } = error;
  if (typeof status !== "number" || status < 400 || status > 599) return undefined;
  const sent = typeof headers === "object" ? new Headers(headers as Record<string, string>) : new Headers();
  return new Refused(status, message || "Unauthorized", { headers: Object.fromEntries(sent) });
}

function userOf(answer: unknown): AuthUser {
  const said = typeof answer === "string" ? { identity: answer } : answer;
  // A program that returns nothing knows nobody.
  if (said === null || said === undefined || said === false) throw new Refused(401, "Unauthorized");
  const { identity, permissions, is_authenticated, display_name, ...rest } = said as Record<string, unknown>;
  if (typeof identity !== "string" || identity.length > identityCharsMax)
    throw new Error(
      `auth: authenticate must return a string, or an object with a string "identity" of ${identityCharsMax} characters at most`,
    );
  const user = {
    ...rest,
    identity,
    permissions: Array.isArray(permissions) ? permissions.map(String) : [],
    is_authenticated: is_authenticated !== false,
    display_name: typeof display_name === "string" ? display_name : identity,
  };
  if (Buffer.byteLength(JSON.stringify(user)) <= userBytesMax) return user;
  throw new Error(`auth: authenticate returned a user of more than ${userBytesMax} bytes`);
}
