import path from "node:path";
import { parseArgs } from "node:util";
import { ConfigError } from "./config.ts";

/** The hidden command of the program that runs suspects. */
export const isolatedCommand = "isolated";
/** The hidden command of the program as one of several processes. */
export const memberCommand = "member";

/** The options of `langgraph dev` that mean something here, so that a project changes one word. */
const options = {
  port: { type: "string", short: "p" },
  host: { type: "string", short: "h" },
  config: { type: "string", short: "c" },
  "n-jobs-per-worker": { type: "string", short: "n" },
  /** No browser is ever opened; scripts say so all the same. */
  "no-browser": { type: "boolean" },
} as const;

const known = "--port, --host, --config, --n-jobs-per-worker and --no-browser";

/**
 * What the command line of a server says, as settings: they win over those of the environment. Throws ConfigError
 * for an option that is not known, has no value, or is a word of its own.
 */
export function settingsOf(command: string, args: readonly string[]): Record<string, string> {
  const { port, host, config, ...rest } = parsed(command, args);
  const slots = rest["n-jobs-per-worker"];
  return {
    ...(port === undefined ? {} : { PORT: port }),
    ...(host === undefined ? {} : { HOST: host }),
    ...(config === undefined ? {} : { LANGGRAPH_JSON: projectFile(config) }),
    ...(slots === undefined ? {} : { WORKER_SLOTS: slots }),
  };
}

function parsed(command: string, args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (cause) {
    const [reason] = (cause as Error).message.split(". ");
    throw new ConfigError(
      `holdfast ${command}: ${reason}. It takes ${known}; everything else is a setting of the environment`,
      { cause },
    );
  }
}

/** A folder means the file in it, as it does to `langgraph dev`. */
const projectFile = (config: string): string =>
  config.endsWith(".json") ? config : path.join(config, "langgraph.json");
