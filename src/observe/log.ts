import { type Logger, pino } from "pino";

export type Log = Pick<Logger, "info" | "warn" | "error" | "debug">;

const levels = ["fatal", "error", "warn", "info", "debug", "silent"] as const;
export type LogLevel = (typeof levels)[number];
export const logLevels: readonly LogLevel[] = levels;

/** One JSON line an entry on stdout. Credentials never reach it, wherever they sit in an entry. */
export function openLog(level: LogLevel): Logger {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: [
        "*.authorization",
        "*.apiKey",
        "*.api_key",
        "*.password",
        "headers",
        "*.headers",
        "error.config",
      ],
      censor: "[redacted]",
    },
    serializers: { error: pino.stdSerializers.err },
  });
}
