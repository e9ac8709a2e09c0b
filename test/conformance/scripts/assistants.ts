import type { Script } from "../record.ts";

const graphs = ["agent", "steps", "nested", "made", "typed"];

export async function assistants({
  client: { assistants: api, threads, runs },
  call,
  send,
}: Script): Promise<void> {
  const metadata = { of: "assistants" };
  const made = await call("create", () =>
    api.create({
      graphId: "steps",
      name: "First",
      metadata,
      config: { tags: ["a"], configurable: { colour: "red" } },
      description: "one",
    }),
  );
  const id = made.assistant_id;
  await call("create with config and context", () =>
    api.create({ graphId: "steps", config: { configurable: { colour: "red" } }, context: { tone: "low" } }),
  );
  await call("create with context", () => api.create({ graphId: "typed", context: { tone: "low" } }));
  await call("create again", () => api.create({ graphId: "steps", assistantId: id }));
  await call("create again, do nothing", () =>
    api.create({ graphId: "steps", assistantId: id, ifExists: "do_nothing" }),
  );
  await call("create with little", () => api.create({ graphId: "agent", metadata }));
  await call("get", () => api.get(id));
  await call("get by graph id", () => api.get("steps"));
  await call("get none", () => api.get("0199aaaa-0000-7000-8000-000000000000"));
  await call("get a graph that is not there", () => api.get("nowhere"));
  await call("update", () =>
    api.update(id, { name: "Second", metadata: { more: 1 }, config: { configurable: { colour: "blue" } } }),
  );
  await call("update to another graph", () => api.update(id, { graphId: "agent", description: "two" }));
  await call("versions", () => api.getVersions(id));
  await call("versions, a page", () => api.getVersions(id, { limit: 1, offset: 1 }));
  await call("versions by metadata", () => api.getVersions(id, { metadata: { more: 1 } }));
  await call("set latest", () => api.setLatest(id, 1));
  await call("set latest to none", () => api.setLatest(id, 9));
  await call("get after set latest", () => api.get(id));
  await call("search", () => api.search({ metadata, sortBy: "name", sortOrder: "asc" }));
  await call("search a page", () => api.search({ metadata, limit: 1, includePagination: true }));
  await call("search by name", () => api.search({ name: "fir", metadata }));
  await call("search select", () =>
    api.search({ metadata, graphId: "agent", select: ["assistant_id", "name"] }),
  );
  await call("search the system's", () =>
    api.search({ metadata: { created_by: "system" }, sortBy: "name", sortOrder: "asc", limit: 50 }),
  );
  await send("search headers", "POST", "/assistants/search", { metadata, limit: 1 });
  await call("count", () => api.count({ metadata }));
  for (const graph of graphs) {
    await call(`graph of ${graph}`, () => api.getGraph(graph));
    await call(`graph of ${graph} xray`, () => api.getGraph(graph, { xray: true }));
  }
  // Of a graph whose state is in TypeScript alone, the dev server reads the source for up to half a minute, or fails.
  await call("schemas of typed", () => api.getSchemas("typed"));
  await call("subgraphs", () => api.getSubgraphs("typed"));
  await call("subgraphs, all", () => api.getSubgraphs("typed", { recurse: true }));
  await call("subgraphs of a namespace", () => api.getSubgraphs("typed", { namespace: "inner" }));
  await call("subgraphs of a namespace, all", () =>
    api.getSubgraphs("typed", { namespace: "inner", recurse: true }),
  );
  await call("graph of none", () => api.getGraph("nowhere"));
  await call("search in order", () => api.search({ metadata, sortBy: "created_at", sortOrder: "asc" }));
  await call("set latest again", () => api.setLatest(id, 2));
  const thread = await call("a thread", () => threads.create({ metadata }));
  await call("a run", () => runs.wait(thread.thread_id, id, { input: { seen: [] } }));
  await call("delete", () => api.delete(id, { deleteThreads: true }));
  await call("get when deleted", () => api.get(id));
  await call("its thread when deleted", () => threads.get(thread.thread_id));
  await call("delete again", () => api.delete(id));
  await send("create without a graph", "POST", "/assistants", { name: "x" });
}
