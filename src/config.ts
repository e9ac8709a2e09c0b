import { hostname } from "node:os";
import { z } from "zod";
import { logLevels } from "./observe/log.ts";

const flag = z.enum(["true", "false", "1", "0"]).transform((value) => value === "true" || value === "1");
const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const record = z.record(z.string(), z.unknown());
const roles = ["http", "worker"] as const;
/** Of each graph's system assistant: its config, and beside its fields `context`. */
const assistantDefaults = z.record(
  z.string(),
  z.looseObject({ configurable: record.optional(), context: record.optional() }),
);

function parsedJson(text: string, ctx: z.RefinementCtx): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    ctx.addIssue(`not valid JSON: ${(error as Error).message}`);
    return z.NEVER;
  }
}

const settings = z.object({
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
  HOLDFAST_DATA_DIR: z.string().min(1).default(".holdfast/postgres"),
  LANGGRAPH_JSON: z.string().min(1).default("langgraph.json"),
  LANGGRAPH_CONFIG: z.string().transform(parsedJson).pipe(assistantDefaults).optional(),
  HOST: z.string().min(1).default("127.0.0.1"),
  PORT: whole(0, 65_535).default(2024),
  PROBE_PORT: whole(0, 65_535).optional(),
  PROCESSES: whole(1, 64).default(1),
  ROLES: z
    .string()
    .default("http,worker")
    .transform((text) => text.split(",").map((role) => role.trim()))
    .pipe(z.array(z.enum(roles)).min(1)),
  LOG_LEVEL: z.enum(logLevels as [string, ...string[]]).default("info"),
  WORKER_ID: z.string().min(1).default(`${hostname()}:${process.pid}`),
  WORKER_SLOTS: whole(1, 1_000).default(16),
  LEASE_SECONDS: whole(1, 3_600).default(30),
  DRAIN_SECONDS: whole(0, 3_600).default(25),
  BLOCK_SECONDS: whole(1, 3_600).default(60),
  STEP_SECONDS: whole(1, 86_400).default(900),
  RUN_SECONDS: whole(1, 2_000_000).default(86_400),
  POLL_MILLIS: whole(20, 60_000).default(1_000),
  REAP_MILLIS: whole(50, 60_000).default(1_000),
  DATABASE_CONNECTIONS: whole(2, 1_000).default(20),
  LISTEN_NOTIFY: flag.default(true),
  PREPARED_STATEMENTS: flag.default(true),
  BODY_BYTES: whole(1_024, 268_435_456).default(1_048_576),
  HEARTBEAT_SECONDS: whole(1, 60).default(5),
  DEAD_LETTER_DAYS: whole(0, 36_500).default(0),
  WEBHOOK_SECRETS: z
    .string()
    .transform((text) => text.split(",").filter((secret) => secret.trim() !== ""))
    .pipe(
      z.array(
        z
          .string()
          .trim()
          .regex(/^whsec_[A-Za-z0-9+/]{32,}={0,2}$/, "expected whsec_ and 24 bytes or more in base64"),
      ),
    )
    .optional(),
  WEBHOOK_PRIVATE: flag.default(false),
  REQUESTS_PER_SECOND: whole(0, 1_000_000).default(0),
  STREAMS_PER_PRINCIPAL: whole(0, 1_000_000).default(64),
  SCHEMA_SECONDS: whole(0, 600).default(60),
  OPENAI_API_KEY: z.string().min(1).optional(),
  OPENAI_BASE_URL: z.url().optional(),
  MODEL: z.string().min(1).optional(),
  MODEL_FALLBACKS: z.string().min(1).optional(),
  MODEL_CONCURRENCY: whole(1, 10_000).default(32),
  MODEL_TIMEOUT_SECONDS: whole(1, 3_600).default(30),
  MODEL_FIRST_TOKEN_SECONDS: whole(1, 3_600).default(30),
  MODEL_BETWEEN_TOKENS_SECONDS: whole(1, 3_600).default(15),
  MODEL_STREAM_SECONDS: whole(1, 3_600).default(300),
  LANGSMITH_TRACING: flag.optional(),
  LANGCHAIN_TRACING_V2: flag.optional(),
  HOLDFAST_FAILPOINTS: z.string().optional(),
});

export type Config = Readonly<z.infer<typeof settings>>;

export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Reads the environment once. Throws ConfigError with every fault at once. An empty variable counts as not set. */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ""),
  );
  const parsed = settings.safeParse(given);
  if (!parsed.success)
    throw new ConfigError(`the environment is not right:\n${z.prettifyError(parsed.error)}`);
  return Object.freeze(parsed.data);
}

export const isLoopback = (host: string): boolean => /^(127\.|localhost$|::1$|\[::1\]$)/.test(host);
