import { Client } from "@langchain/langgraph-sdk";
import { v5 } from "uuid";

export interface Entry {
  step: string;
  /** The answer, or `{refused}` with status and text, without what differs from run to run. */
  answer: unknown;
}

export interface Recording {
  entries: Entry[];
  /** The client's methods that were called, as `threads.create`. */
  called: Set<string>;
}

export interface Script {
  client: Client;
  url: string;
  /** Makes one call and records its answer; null when it failed. */
  call<T>(step: string, ask: () => Promise<T>): Promise<T>;
  /** The same for something that is read event by event. */
  events(step: string, ask: () => AsyncIterable<unknown>): Promise<{ event: string; data: unknown }[]>;
  /** A plain request: status, some headers, body. */
  send(
    step: string,
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<unknown>;
}

const eventsMax = 2_000;
const comparedHeaders = ["content-type", "content-location", "x-pagination-total", "x-pagination-next"];

export type Scripts = Record<string, (script: Script) => Promise<void>>;

/** Runs scripts of calls against one server. */
export async function record(
  url: string,
  scripts: Scripts,
  headers: Record<string, string> = {},
): Promise<Recording> {
  const recording: Recording = { entries: [], called: new Set() };
  await Promise.all(
    Object.entries(scripts).map(async ([name, script]) => {
      const names = new Names(url);
      const entries: Entry[] = [];
      const keep = (step: string, answer: unknown): void => {
        names.learn(answer);
        entries.push({ step: `${name}: ${step}`, answer: names.normal(answer) });
      };
      await script(scriptOf({ url, headers }, keep, recording.called)).catch((error: Error) => {
        throw new Error(
          `the script ${name} stopped at ${url} after "${entries.at(-1)?.step}": ${error.stack}`,
        );
      });
      recording.entries.push(...entries);
    }),
  );
  return recording;
}

function scriptOf(
  { url, headers: defaultHeaders }: { url: string; headers: Record<string, string> },
  keep: (step: string, answer: unknown) => void,
  called: Set<string>,
): Script {
  const client = watched(
    new Client({ apiUrl: url, callerOptions: { maxRetries: 0 }, defaultHeaders }),
    called,
  );
  const guarded = async <T>(step: string, ask: () => Promise<T>): Promise<T> => {
    try {
      const answer = await ask();
      keep(step, answer === undefined ? null : answer);
      return answer;
    } catch (error) {
      keep(step, {
        error: { status: (error as { status?: number }).status, text: (error as Error).message },
      });
      return null as T;
    }
  };
  return {
    client,
    url,
    call: guarded,
    events: async (step, ask) => {
      const events: { event: string; data: unknown }[] = [];
      await guarded(step, async () => {
        for await (const { event, data } of ask() as AsyncIterable<{ event: string; data: unknown }>) {
          events.push({ event, data });
          if (events.length >= eventsMax) throw new Error("too many events");
        }
        return { events };
      });
      return events;
    },
    send: (step, method, path, body, headers = {}) =>
      guarded(step, async () => {
        const init = body === undefined ? {} : { body: JSON.stringify(body) };
        const response = await fetch(url + path, {
          method,
          headers: { "content-type": "application/json", ...headers },
          ...init,
        });
        const text = await response.text();
        const shown = Object.fromEntries(
          comparedHeaders.map((header) => [header, response.headers.get(header)]),
        );
        return { status: response.status, headers: shown, body: parsedOr(text) };
      }),
  };
}

function parsedOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The client, noting each method that is called. */
function watched(client: Client, called: Set<string>): Client {
  for (const room of rooms) {
    const proxy = new Proxy(client[room], {
      get(target, key, receiver) {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== "function") return value;
        if (receiver === proxy) called.add(`${room}.${String(key)}`);
        return value.bind(target);
      },
    });
    Object.defineProperty(client, room, { value: proxy });
  }
  return client;
}

const rooms = ["assistants", "threads", "runs", "crons", "store", "~ui"] as const;
/** What all of the SDK's clients inherit, to build their methods on. */
const inherited = new Set(["constructor", "prepareFetchOptions", "fetch", "streamWithRetry"]);

/** Every public method of the SDK's client, as `threads.create`. */
export function methodsOfClient(): string[] {
  const client = new Client({ apiUrl: "http://localhost" });
  return rooms.flatMap((room) =>
    Object.getOwnPropertyNames(Object.getPrototypeOf(client[room]))
      .filter((name) => !inherited.has(name))
      .map((name) => `${room}.${name}`),
  );
}

/** Whatever differs between two runs of one script on one server, by names that do not. */
class Names {
  readonly #url: string;
  readonly #known = new Map<string, string>();

  constructor(url: string) {
    this.#url = url;
  }

  /** Ids at the top of an answer get a name each, so that later answers are compared with them. */
  learn(answer: unknown): void {
    if (typeof answer !== "object" || answer === null) return;
    for (const key of ["thread_id", "run_id", "assistant_id", "cron_id"]) {
      const id = (answer as Record<string, unknown>)[key];
      if (typeof id !== "string" || this.#known.has(id) || systemNames.has(id)) continue;
      const kind = key.replace("_id", "");
      const count = [...this.#known.values()].filter((name) => name.startsWith(`<${kind}`)).length;
      this.#known.set(id, `<${kind} ${count + 1}>`);
    }
  }

  normal(value: unknown): unknown {
    if (value === undefined) return undefined;
    return JSON.parse(JSON.stringify(value), (_key, item: unknown) =>
      typeof item === "string" ? this.#text(item) : this.#keys(item),
    );
  }

  #keys(item: unknown): unknown {
    if (typeof item !== "object" || item === null || Array.isArray(item)) return item;
    return Object.fromEntries(Object.entries(item).map(([key, inner]) => [this.#text(key), inner]));
  }

  #text(text: string): string {
    return (
      text
        .replaceAll(this.#url, "<server>")
        .replace(uuids, (id) => this.#known.get(id) ?? systemNames.get(id) ?? "<id>")
        .replace(/\b[0-9a-f]{32}\b/g, "<id>")
        // A tool's message is named by whoever comes first, the reducer or the stream.
        .replace(/run-<id>-tool-[\w-]+/g, "<id>")
        .replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)/g, "<time>")
    );
  }
}

const uuids = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
/** The assistants of the graphs themselves have the same ids everywhere. */
const systemNames = new Map(
  [
    "agent",
    "steps",
    "nested",
    "twins",
    "fails",
    "slow",
    "remembers",
    "made",
    "typed",
    "weather",
    "told",
    "counts",
  ].map((graph) => [v5(graph, "6ba7b821-9dad-11d1-80b4-00c04fd430c8"), `<assistant of ${graph}>`]),
);
