import { Client } from "@langchain/langgraph-sdk";
import type { Script } from "../record.ts";

const as = (user: string) => ({ authorization: `Bearer ${user}` });
export const caller = as("alice");

/** Everything a project may bring along, asked for by a user of its own. */
export async function whole(script: Script): Promise<void> {
  await ofGraphs(script);
  await ofRoutes(script);
  await ofUi(script);
  await ofUsers(script);
}

async function ofGraphs({ client: { threads, runs }, call, events }: Script): Promise<void> {
  const chat = (await threads.create()).thread_id;
  await events("a tool called", () =>
    runs.stream(chat, "agent", {
      input: { messages: [{ id: "question", role: "user", content: "weather Oslo" }] },
      streamMode: ["messages-tuple", "updates"],
    }),
  );
  const nested = (await threads.create()).thread_id;
  await call("a question in a subgraph", () => runs.wait(nested, "nested", { input: { seen: [] } }));
  await call("its state", () => threads.getState(nested, undefined, { subgraphs: true }));
  await call("its answer", () => runs.wait(nested, "nested", { command: { resume: "very" } }));
  await call("a graph made for its run", async () =>
    runs.wait((await threads.create()).thread_id, "made", {
      input: { seen: [] },
      config: { configurable: { variant: "long", colour: "red" } },
    }),
  );
}

async function ofRoutes({ client: { runs }, call, send }: Script): Promise<void> {
  await send("its route", "GET", "/orders/7", undefined, caller);
  await send("its route in place of ours", "GET", "/info");
  await send("its refusal", "GET", "/teapot", undefined, caller);
  await send("its fault", "GET", "/broken", undefined, caller);
  await send("its middleware before our route", "POST", "/threads", { refuse: true }, caller);
  await send("its middleware around our route", "POST", "/threads", { metadata: { ticket: 7 } }, caller);
  await send("its client", "GET", "/mine", undefined, as("carol"));
  await call("its client in a graph", () => runs.wait(null, "counts", { input: {} }));
}

async function ofUi({ client, url, call, events, send }: Script): Promise<void> {
  const { thread_id } = await client.threads.create();
  await events("components pushed", () =>
    client.runs.stream(thread_id, "weather", { input: {}, streamMode: ["custom", "values"] }),
  );
  await call("components kept", () => client.threads.getState(thread_id));
  await send("a component", "POST", "/ui/weather", { name: "weather" }, caller);
  await call("a component by the SDK", () => client["~ui"].getComponent("weather", "weather"));
  await send("no such agent", "POST", "/ui/nobody", { name: "weather" }, caller);
  await send("no such file", "GET", "/ui/weather/nothing.js");
  await call("its bundle", async () => {
    const response = await fetch(`${url}/ui/weather/entrypoint.js`);
    // The bundler names files as seen from where it works.
    const text = (await response.text()).replace(/^ *\/\/.*\n/gm, "");
    return { status: response.status, type: response.headers.get("content-type"), text };
  });
}

async function ofUsers({ client: { threads, runs }, url, call, send }: Script): Promise<void> {
  await send("nobody", "POST", "/threads/search", {});
  const thread = await call("a thread of hers", () => threads.create({ metadata: { ticket: 8 } }));
  const bob = new Client({ apiUrl: url, defaultHeaders: as("bob"), callerOptions: { maxRetries: 0 } });
  await call("hidden from him", () => bob.threads.get(thread.thread_id));
  await call("not found by him", () => bob.threads.search({ metadata: { ticket: 8 } }));
  await call("not run by him", () => bob.runs.create(thread.thread_id, "told", { input: {} }));
  await send("not deleted by a reader", "DELETE", `/threads/${thread.thread_id}`, undefined, as("reader"));
  await call("what a run is told of her", () => runs.wait(thread.thread_id, "told", { input: {} }));
}
