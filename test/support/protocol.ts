import path from "node:path";
import { loadRegistry } from "../../src/engine/registry.ts";
import { createApp } from "../../src/http/app.ts";
import { type HttpConfig, httpDefaults } from "../../src/http/deps.ts";
import { listen } from "../../src/http/listen.ts";
import { startRuntime, type TestRuntime } from "./runtime.ts";

const file = path.resolve(import.meta.dirname, "../graphs/protocol/langgraph.json");

/** An event of the newer streaming protocol, as it comes. */
export interface Frame {
  event_id: string;
  seq: number;
  method: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  params: { namespace: string[]; timestamp: number; node?: string; data: any };
}

export interface ProtocolServer {
  runtime: TestRuntime;
  url: string;
  command(threadId: string, method: string, params?: unknown): Promise<Record<string, unknown>>;
  /** One more process that serves the same database. */
  another(): Promise<string>;
  close(): Promise<void>;
}

/** A server at work on the graphs of test/graphs/protocol. */
export async function startProtocolServer(config: Partial<HttpConfig> = {}): Promise<ProtocolServer> {
  const runtime = await startRuntime({ registry: await loadRegistry(file, (module) => import(module)) });
  const stops: (() => Promise<void>)[] = [() => runtime.close()];
  const serve = async (served: TestRuntime): Promise<string> => {
    const settings = { ...httpDefaults, version: "test", ...config };
    const app = createApp({ ...served, config: settings, ready: async () => true });
    const server = await listen({ app, host: "127.0.0.1", port: 0 });
    stops.push(() => server.stop());
    return server.url;
  };
  const url = await serve(runtime);
  return {
    runtime,
    url,
    command: (threadId, method, params) => sendCommand(url, threadId, { method, params }),
    another: async () => {
      const registry = await loadRegistry(file, (module) => import(module));
      const second = await startRuntime({ registry, url: runtime.url });
      stops.push(() => second.close());
      return serve(second);
    },
    close: async () => {
      for (const stop of stops.reverse()) await stop();
    },
  };
}

let commands = 0;
export async function sendCommand(
  url: string,
  threadId: string,
  command: { method: string; params?: unknown },
  headers: Record<string, string> = {},
): Promise<Record<string, unknown>> {
  commands += 1;
  const response = await fetch(`${url}/threads/${threadId}/commands`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ id: commands, ...command }),
  });
  return (await response.json()) as Record<string, unknown>;
}

export const allChannels = [
  "values",
  "updates",
  "messages",
  "tools",
  "lifecycle",
  "input",
  "checkpoints",
  "tasks",
  "custom",
];

export const isRootEnd = ({ method, params }: Frame): boolean =>
  method === "lifecycle" && params.namespace.length === 0 && params.data.event !== "running";

/** Frames that the server sends, up to the one that `until` names. */
export async function readEvents(
  url: string,
  threadId: string,
  {
    filter = { channels: allChannels },
    headers = {},
    until = (frames) => frames.some(isRootEnd),
  }: {
    filter?: Record<string, unknown>;
    headers?: Record<string, string>;
    until?: (frames: Frame[]) => boolean;
  } = {},
): Promise<Frame[]> {
  const stop = new AbortController();
  const response = await fetch(`${url}/threads/${threadId}/stream/events`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(filter),
    signal: stop.signal,
  });
  if (!response.ok || response.body === null) throw new Error(`${response.status} ${await response.text()}`);
  const frames: Frame[] = [];
  let text = "";
  if (!until(frames)) {
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      text += piece;
      const parts = text.split("\n\n");
      text = parts.pop() ?? "";
      for (const part of parts) {
        const data = /^data: (.*)$/m.exec(part)?.[1];
        if (data !== undefined && !part.startsWith("event: reset")) frames.push(JSON.parse(data) as Frame);
      }
      if (until(frames)) break;
    }
  }
  stop.abort();
  return frames;
}
