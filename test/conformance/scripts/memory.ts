import type { Script } from "../record.ts";

export async function memory({ client: { store, crons, threads }, call, send }: Script): Promise<void> {
  await call("put", () => store.putItem(["notes", "a"], "one", { text: "first", n: 1 }));
  await call("put another", () => store.putItem(["notes", "b"], "two", { text: "second", n: 2 }));
  await call("put over", () => store.putItem(["notes", "a"], "one", { text: "changed", n: 1 }));
  await call("get", () => store.getItem(["notes", "a"], "one"));
  await call("get none", () => store.getItem(["notes", "a"], "none"));
  await call("search", () => store.searchItems(["notes"]));
  await call("search a page", () => store.searchItems(["notes"], { limit: 1 }));
  await call("search by filter", () => store.searchItems(["notes"], { filter: { n: 2 } }));
  await call("search by operator", () => store.searchItems(["notes"], { filter: { n: { $gt: 1 } } }));
  await call("namespaces", () => store.listNamespaces({ prefix: ["notes"] }));
  await call("namespaces by depth", () => store.listNamespaces({ prefix: ["notes"], maxDepth: 1 }));
  await call("namespaces by suffix", () => store.listNamespaces({ suffix: ["b"] }));
  await call("put with a dot", () => store.putItem(["no.tes"], "one", { text: "x" }));
  await call("put without a namespace", () => store.putItem([], "one", { text: "x" }));
  await send("put nothing", "PUT", "/store/items", { namespace: ["notes"], key: "x" });
  await call("delete", () => store.deleteItem(["notes", "a"], "one"));
  await call("get when deleted", () => store.getItem(["notes", "a"], "one"));
  await call("delete again", () => store.deleteItem(["notes", "a"], "one"));

  const { thread_id: thread } = await call("a thread", () => threads.create());
  const payload = { schedule: "0 5 1 1 *", input: { seen: [] } };
  const cron = await call("cron", () => crons.create("steps", payload));
  await call("cron for a thread", () => crons.createForThread(thread, "steps", payload));
  await call("crons", () => crons.search({ threadId: thread }));
  await call("number of crons", () => crons.count({ threadId: thread }));
  const id = (cron as { cron_id?: string } | null)?.cron_id ?? "0199aaaa-0000-7000-8000-000000000000";
  await call("cron updated", () => crons.update(id, { enabled: false }));
  await call("cron deleted", () => crons.delete(id));
  await send("info", "GET", "/info");
  await send("ok", "GET", "/ok");
  await send("unknown", "GET", "/nowhere");
}
