// The logger of the SDK's `getLogger()`, which modules of a program may call while they are loaded.
import type { Log } from "./log.ts";

const sdkLogger = Symbol.for("langgraph.api.sdk-logger");

/** The Agent Server's names of levels, and ours for them. */
const levels = {
  error: "error",
  warn: "warn",
  help: "info",
  data: "info",
  info: "info",
  prompt: "info",
  input: "info",
  http: "debug",
  verbose: "debug",
  debug: "debug",
  silly: "debug",
} as const satisfies Record<string, keyof Log>;

type Say = (message: unknown, ...details: unknown[]) => unknown;

/** Called as the Agent Server's: a message, then what else there is to say; or one object. */
export function bindSdkLogger(log: Log): void {
  const logger: Record<string, Say> = {};
  for (const [name, level] of Object.entries(levels)) {
    logger[name] = (message, ...details) => {
      if (typeof message === "object") log[level]({ details: [message, ...details] });
      else log[level](details.length === 0 ? {} : { details }, String(message));
      return logger;
    };
  }
  Reflect.set(globalThis, sdkLogger, logger);
}
