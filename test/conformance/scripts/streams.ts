import type { Script } from "../record.ts";

const modes = [
  "values",
  "messages",
  "messages-tuple",
  "updates",
  "events",
  "tasks",
  "checkpoints",
  "debug",
  "custom",
  "tools",
] as const;
const human = { messages: [{ type: "human", content: "weather Oslo", id: "m-1" }] };

/** Every mode, on graphs with messages and tools, with and without subgraphs. */
export async function streams({ client: { threads, runs }, call, events, send }: Script): Promise<void> {
  const thread = async (): Promise<string> => (await threads.create()).thread_id;
  const inMode = async (streamMode: (typeof modes)[number]): Promise<void> => {
    const id = await thread();
    await events(`agent ${streamMode}`, () => runs.stream(id, "agent", { input: human, streamMode }));
    const nested = await thread();
    await events(`nested ${streamMode}`, () =>
      runs.stream(nested, "nested", { input: { seen: [] }, streamMode }),
    );
    const deep = await thread();
    await events(`nested ${streamMode}, subgraphs`, () =>
      runs.stream(deep, "nested", { input: { seen: [] }, streamMode, streamSubgraphs: true }),
    );
    await events(`nested ${streamMode}, resumed`, () =>
      runs.stream(deep, "nested", { command: { resume: "very" }, streamMode, streamSubgraphs: true }),
    );
  };
  await Promise.all(modes.map(inMode));
  const id = await thread();
  await events("several modes", () =>
    runs.stream(id, "steps", { input: { seen: [] }, streamMode: ["values", "updates", "custom", "tasks"] }),
  );
  await events("a list of one", () =>
    runs.stream(id, "steps", { input: { seen: [] }, streamMode: ["updates"] }),
  );
  await events("no mode", () => runs.stream(id, "steps", { input: { seen: [] } }));
  await events("an empty list", () => runs.stream(id, "steps", { input: { seen: [] }, streamMode: [] }));
  await call("thread that streamed", () => threads.get(id));
  const chat = await thread();
  await events("messages and tuples", () =>
    runs.stream(chat, "agent", { input: human, streamMode: ["messages-tuple", "values"] }),
  );
  const failing = await thread();
  await events("failing", () =>
    runs.stream(failing, "fails", { input: { seen: [] }, streamMode: ["values", "updates"] }),
  );
  await events("stateless", () => runs.stream(null, "steps", { input: { seen: [] }, streamMode: "updates" }));
  await send("headers", "POST", `/threads/${await thread()}/runs/stream`, {
    assistant_id: "steps",
    input: { seen: [] },
    stream_mode: "custom",
  });
  await events("messages of a thread", () =>
    runs.stream(chat, "agent", { input: { messages: "hello" }, streamMode: ["messages"] }),
  );
}
