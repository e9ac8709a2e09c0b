import type { Script } from "../record.ts";

export async function threads(script: Script): Promise<void> {
  await life(script);
  await states(script);
  await upkeep(script);
}

async function life({ client: { threads: api }, call, send }: Script): Promise<void> {
  const metadata = { of: "threads" };
  const { thread_id: id } = await call("create", () => api.create({ metadata, graphId: "steps" }));
  await call("create again", () => api.create({ threadId: id }));
  await call("create again, do nothing", () => api.create({ threadId: id, ifExists: "do_nothing" }));
  await call("create with ttl", () => api.create({ metadata: { of: "ttl" }, ttl: 60 }));
  await call("get", () => api.get(id));
  await call("get with ttl", () => api.get(id, { include: ["ttl"] }));
  await call("get none", () => api.get("0199aaaa-0000-7000-8000-000000000000"));
  await send("get with a bad id", "GET", "/threads/not-an-id");
  await call("update", () => api.update(id, { metadata: { more: [1] } }));
  await call("update, minimal", () => api.update(id, { metadata: { more: [2] }, returnMinimal: true }));
  await call("update none", () => api.update("0199aaaa-0000-7000-8000-000000000000", { metadata: {} }));
  await call("state of an empty thread", () => api.getState(id));
  await call("history of an empty thread", () => api.getHistory(id));
  const supersteps = [
    { updates: [{ values: { seen: ["given"] }, asNode: "__start__" }] },
    { updates: [{ values: { seen: ["one"] }, asNode: "one" }] },
  ];
  const made = await call("create with supersteps", () =>
    api.create({ metadata, graphId: "steps", supersteps }),
  );
  await call("state after supersteps", () => api.getState(made.thread_id));
  await call("history after supersteps", () => api.getHistory(made.thread_id));
  await call("search", () => api.search({ metadata, sortBy: "created_at", sortOrder: "asc" }));
  await call("search by ids", () => api.search({ ids: [id] }));
  await call("search by status", () =>
    api.search({ metadata, status: "idle", sortBy: "created_at", sortOrder: "asc" }),
  );
  await call("search by values", () => api.search({ metadata, values: { seen: ["given", "one"] } }));
  await call("search select", () => api.search({ ids: [id], select: ["thread_id", "metadata"] }));
  await send("search headers", "POST", "/threads/search", { metadata, limit: 1 });
  await send("search wrong", "POST", "/threads/search", { limit: -1 });
  await call("count", () => api.count({ metadata }));
  await call("count by status", () => api.count({ metadata, status: "busy" }));
  await call("delete", () => api.delete(id));
  await call("get when deleted", () => api.get(id));
  await call("delete again", () => api.delete(id));
}

async function states({ client: { threads: api, runs }, call, send }: Script): Promise<void> {
  const { thread_id: id } = await call("a thread", () => api.create());
  await call("update state without a graph", () => api.updateState(id, { values: { seen: ["x"] } }));
  await call("a run", () => runs.wait(id, "steps", { input: { seen: ["in"] } }));
  await call("get after a run", () => api.get(id));
  const state = await call("state", () => api.getState(id));
  await call("state with subgraphs", () => api.getState(id, undefined, { subgraphs: true }));
  const history = await call("history", () => api.getHistory(id));
  await call("history, a page", () => api.getHistory(id, { limit: 1 }));
  await call("history before", () =>
    api.getHistory(id, { before: { configurable: history[1]?.checkpoint ?? {} } }),
  );
  await call("history by metadata", () => api.getHistory(id, { metadata: { source: "input" } }));
  await call("history of a checkpoint", () =>
    api.getHistory(id, { checkpoint: history[1]?.checkpoint as never }),
  );
  await send("history by GET", "GET", `/threads/${id}/history?limit=1`);
  const older = history[2]?.checkpoint;
  await call("state at a checkpoint", () => api.getState(id, older));
  await call("state at a checkpoint id", () => api.getState(id, String(older?.checkpoint_id)));
  await call("state at a checkpoint, with subgraphs", () => api.getState(id, older, { subgraphs: true }));
  await call("update state", () => api.updateState(id, { values: { answer: 1 } }));
  await call("update state as a node", () =>
    api.updateState(id, { values: { seen: ["as one"] }, asNode: "one" }),
  );
  await call("update state as a wrong node", () =>
    api.updateState(id, { values: { seen: [] }, asNode: "three" }),
  );
  await call("update state at a checkpoint", () =>
    api.updateState(id, { values: { answer: 2 }, checkpoint: older as never }),
  );
  await call("state after updates", () => api.getState(id));
  await call("history after updates", () => api.getHistory(id));
  await call("a run from an older checkpoint", () =>
    runs.wait(id, "steps", { input: null, checkpoint: state.checkpoint }),
  );
  await call("a run from the second checkpoint", () =>
    runs.wait(id, "steps", { input: null, checkpointId: String(history[1]?.checkpoint.checkpoint_id) }),
  );
  const copy = await call("copy", () => api.copy(id));
  await call("state of the copy", () => api.getState(copy.thread_id));
  await call("copy none", () => api.copy("0199aaaa-0000-7000-8000-000000000000"));
  await call("state of none", () => api.getState("0199aaaa-0000-7000-8000-000000000000"));
  await call("history of none", () => api.getHistory("0199aaaa-0000-7000-8000-000000000000"));
}

async function upkeep({ client: { threads: api, runs }, call, events }: Script): Promise<void> {
  const { thread_id: id } = await call("a thread to prune", () => api.create());
  await call("a run on it", () => runs.wait(id, "steps", { input: { seen: [] } }));
  await call("patch state", () => api.patchState(id, { label: "x" }));
  const listening = new AbortController();
  const run = setTimeout(() => listening.abort(), 1_000);
  await events(
    "thread stream",
    () =>
      api.joinStream(id, {
        streamMode: "lifecycle",
        lastEventId: "-",
        signal: listening.signal,
      }) as AsyncIterable<unknown>,
  );
  clearTimeout(run);
  await call("prune", () => api.prune([id], { strategy: "keep_latest" }));
  await call("history after prune", () => api.getHistory(id));
}
