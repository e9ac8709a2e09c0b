import type { Script } from "../record.ts";

/** Graphs made from config, context, assistants' config, long-term memory, messages. */
export async function graphs({
  client: { assistants, threads, runs, store },
  call,
  send,
}: Script): Promise<void> {
  const thread = async (): Promise<string> => (await threads.create()).thread_id;
  await call("made short", async () => runs.wait(await thread(), "made", { input: { seen: [] } }));
  await call("made long", async () =>
    runs.wait(await thread(), "made", {
      input: { seen: [] },
      config: { configurable: { variant: "long", colour: "red" } },
    }),
  );
  await send(
    "made with a header",
    "POST",
    `/threads/${await thread()}/runs/wait`,
    { assistant_id: "made", input: { seen: [] } },
    { "x-colour": "violet" },
  );
  const assistant = await call("an assistant", () =>
    assistants.create({ graphId: "made", config: { configurable: { variant: "long", colour: "green" } } }),
  );
  const id = await thread();
  await call("made by an assistant", () => runs.wait(id, assistant.assistant_id, { input: { seen: [] } }));
  await call("its state", () => threads.getState(id));
  await call("its thread", () => threads.get(id));
  await call("with context", async () =>
    runs.wait(await thread(), "typed", { input: { question: "how?" }, context: { tone: "high" } }),
  );
  await call("without context", async () =>
    runs.wait(await thread(), "typed", { input: { question: "how?" } }),
  );
  await call("with a wrong input", async () =>
    runs.wait(await thread(), "typed", { input: { question: 5 }, raiseError: false }),
  );
  await call("recursion limit", async () =>
    runs.wait(await thread(), "steps", {
      input: { seen: [] },
      config: { recursion_limit: 1 },
      raiseError: false,
    }),
  );
  await call("remembers", async () => runs.wait(await thread(), "remembers", { input: { answer: "blue" } }));
  await call("what it remembers", () => store.getItem(["memory"], "last"));
  const chat = await thread();
  await call("weather", () =>
    runs.wait(chat, "agent", { input: { messages: [{ role: "user", content: "weather Oslo" }] } }),
  );
  await call("chat", () => runs.wait(chat, "agent", { input: { messages: "hello" } }));
  await call("its messages", () => threads.getState(chat));
}
