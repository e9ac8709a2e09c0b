import type { IncomingMessage } from "node:http";
import type { Context, Hono } from "hono";
import type { StoreIndex } from "../checkpoint/store-index.ts";
import type { Bus } from "../db/listen.ts";
import type { Database } from "../db/pool.ts";
import type { Lifetimes } from "../domain/lifetimes.ts";
import type { ProgramHttp } from "../engine/project.ts";
import type { Registry } from "../engine/registry.ts";
import type { TypescriptSchemas } from "../engine/typescript-schemas.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { GroupCreate } from "../queue/group-create.ts";
import type { Ends } from "./ends.ts";
import type { Access, AuthUser, ProgramAuth } from "./program-auth.ts";
import type { ProgramUi } from "./program-ui.ts";
import type { StreamSlots } from "./stream-slots.ts";
import type { SystemAssistants } from "./system-assistants.ts";
import type { ThreadKeys } from "./thread-keys.ts";
import type { Wakes } from "./wake.ts";

export interface HttpConfig {
  version: string;
  /** Larger bodies get 413. */
  bodyBytesMax: number;
  heartbeatSeconds: number;
  /** How often a stream looks for news when nobody wakes it. */
  pollMillis: number;
  /** Demand an API key even while none exists. */
  authRequired: boolean;
  /** For each principal, or address where there is none; 0 is no limit. */
  requestsPerSecondMax: number;
  /** Event streams open at once, counted the same way; 0 is no limit. */
  streamsPerPrincipalMax: number;
  /** For reading the source of a graph that has no schemas itself. None is read where it is 0 or not said. */
  schemaSecondsMax?: number;
  /** Where the app is mounted in another one, as "/agents"; what names files of ours for a browser begins with it. */
  basePath?: string;
  /** Webhooks may be plain http, and inside. */
  webhooksPrivate: boolean;
}

export const httpDefaults = {
  bodyBytesMax: 1_048_576,
  heartbeatSeconds: 5,
  pollMillis: 500,
  authRequired: false,
  requestsPerSecondMax: 0,
  streamsPerPrincipalMax: 64,
  webhooksPrivate: false,
} as const satisfies Partial<HttpConfig>;

/** What a program gives to its front door. */
export interface AppDeps {
  db: Database;
  bus: Bus;
  registry: Registry;
  log: Log;
  metrics: Metrics;
  /** What long-term memory is searched by meaning with; null where the project has none. */
  storeIndex: StoreIndex | null;
  /** Of threads and items that are made here without one; for ever where it is not said. */
  lifetimes?: Lifetimes;
  config: HttpConfig;
  /** The program's own. */
  auth?: ProgramAuth | undefined;
  /** The program's own routes, around ours. */
  programApp?: Hono | undefined;
  /** What `http` of langgraph.json says of our routes. */
  programHttp?: ProgramHttp | undefined;
  /** The program's components of its generative UI. */
  programUi?: ProgramUi | undefined;
  /** False while this process should get no traffic: starting, draining, database away. */
  ready: () => Promise<boolean>;
}

/** What the routes use. */
export interface HttpDeps extends AppDeps {
  creates: GroupCreate;
  systemAssistants: SystemAssistants;
  /** Where those who wait for runs look whether they have ended. */
  ends: Ends;
  /** Wakes the streams of this process. */
  wakes: Wakes;
  slots: StreamSlots;
  threadKeys: ThreadKeys;
  typescriptSchemas: TypescriptSchemas;
}

/** Who asks. The name is written beside every decision. */
export interface Principal {
  name: string;
  tenant: string;
  /** What a user of the program's own auth may do; whoever has a key of ours, or needs none, has the whole tenant. */
  access?: Access;
  /** What the runs of this request find in their configurable. */
  configurable?: () => Record<string, unknown>;
}

export interface HttpEnv {
  Variables: {
    principal: Principal;
    /** As the Agent Server tells a program's own routes. */
    auth: { user: AuthUser; scopes: string[] };
    /** The thread of the path, where it was called by its caller's own key. */
    keyed?: { key: string; threadId: string };
  };
}

export type RequestContext = Context<HttpEnv>;

export const tenantOf = (c: RequestContext): string => c.get("principal").tenant;

/** The request as Node's own server has it, where that serves; a program that mounts the app may use another. */
export const incomingOf = (c: RequestContext): IncomingMessage | undefined =>
  (c.env as { incoming?: IncomingMessage } | undefined)?.incoming;
