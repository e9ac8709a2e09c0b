import type { Script } from "../record.ts";

/** Interrupts, inside subgraphs and several at once, and breakpoints. */
export async function questions({ client: { threads, runs }, call, events }: Script): Promise<void> {
  const thread = async (): Promise<string> => (await threads.create()).thread_id;
  const nested = await thread();
  await call("asked in a subgraph", () => runs.wait(nested, "nested", { input: { seen: [] } }));
  await call("thread that asks", () => threads.get(nested));
  await call("state that asks", () => threads.getState(nested));
  const state = await call("state that asks, with subgraphs", () =>
    threads.getState(nested, undefined, { subgraphs: true }),
  );
  await call("history that asks", () => threads.getHistory(nested));
  const inner = state.tasks[0]?.state?.checkpoint;
  if (inner) await call("state of the subgraph", () => threads.getState(nested, inner));
  await call("answered", () => runs.wait(nested, "nested", { command: { resume: "very" } }));
  await call("state when answered", () => threads.getState(nested));
  await call("answered again", () => runs.wait(nested, "nested", { command: { resume: "once more" } }));

  const twins = await thread();
  await events("two questions", () =>
    runs.stream(twins, "twins", { input: { seen: [] }, streamMode: ["updates", "values"] }),
  );
  const asking = await call("thread with two", () => threads.get(twins));
  const ids = Object.values(asking.interrupts).flatMap((list) =>
    list.map(({ id, value }) => [String(value), String(id)] as const),
  );
  const left = Object.fromEntries(ids)["left?"] ?? "";
  await call("one answered by its id", () =>
    runs.wait(twins, "twins", { command: { resume: { [left]: "yes" } } }),
  );
  await call("thread with one left", () => threads.get(twins));
  const rest = await call("state with one left", () => threads.getState(twins));
  const open = rest.tasks.flatMap((task) => task.interrupts).map(({ id }) => String(id));
  await call("the other answered", () =>
    runs.wait(twins, "twins", { command: { resume: Object.fromEntries(open.map((id) => [id, "no"])) } }),
  );

  const paused = await thread();
  await events("stops before", () =>
    runs.stream(paused, "steps", {
      input: { seen: [] },
      interruptBefore: ["two"],
      streamMode: ["updates", "values"],
    }),
  );
  await call("state before", () => threads.getState(paused));
  await call("thread before", () => threads.get(paused));
  await events("goes on", () => runs.stream(paused, "steps", { input: null, streamMode: "updates" }));
  const after = await thread();
  await call("stops after", () =>
    runs.wait(after, "steps", { input: { seen: [] }, interruptAfter: ["one"] }),
  );
  await call("state after", () => threads.getState(after));
  const every = await thread();
  await call("stops everywhere", () =>
    runs.wait(every, "steps", { input: { seen: [] }, interruptBefore: "*" }),
  );
  await call("state at the first", () => threads.getState(every));
}
