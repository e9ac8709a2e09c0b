import { setTimeout as sleep } from "node:timers/promises";
import type { Script } from "../record.ts";

export async function runs(script: Script): Promise<void> {
  await life(script);
  await refusals(script);
  await stateless(script);
  await cancels(script);
}

const input = { seen: ["in"] };
const waiting = { answer: "none" };
const beginTriesMax = 300;
const nobody = "0199aaaa-0000-7000-8000-000000000000";

async function life({ client: { threads, runs: api }, call, events, send }: Script): Promise<void> {
  const { thread_id: thread } = await call("a thread", () => threads.create({ metadata: { of: "runs" } }));
  const run = await call("create", () =>
    api.create(thread, "steps", {
      input,
      metadata: { why: "test" },
      config: { tags: ["t"], configurable: { colour: "red" } },
      streamMode: ["values", "updates"],
    }),
  );
  await call("join", () => api.join(thread, run.run_id));
  await call("get", () => api.get(thread, run.run_id));
  await call("thread after the run", () => threads.get(thread));
  await call("wait", () => api.wait(thread, "steps", { input: { answer: 1 } }));
  await call("list", () => api.list(thread));
  await call("list a page", () => api.list(thread, { limit: 1, offset: 1 }));
  await call("list by status", () => api.list(thread, { status: "error" }));
  await call("goto", () => api.wait(thread, "steps", { command: { goto: "two" } }));
  await call("goto with a send", () =>
    api.wait(thread, "steps", { command: { goto: { node: "two", input: { seen: ["sent"] } } } }),
  );
  await call("update and goto", () =>
    api.wait(thread, "steps", { command: { update: { answer: 5 }, goto: ["two"] } }),
  );
  await call("no input", () => api.wait(thread, "steps"));
  await call("fails", () => api.wait(thread, "fails", { input, raiseError: false }));
  await call("thread after failure", () => threads.get(thread));
  await call("delete", () => api.delete(thread, run.run_id));
  await call("get when deleted", () => api.get(thread, run.run_id));
  const later = await call("after seconds", () =>
    api.create(thread, "steps", { input, afterSeconds: 1, multitaskStrategy: "enqueue" }),
  );
  await call("get before it is due", () => api.get(thread, later.run_id));
  await call("join later", () => api.join(thread, later.run_id));
  const resumable = await call("resumable", () =>
    api.create(thread, "steps", { input, streamMode: ["updates"], streamResumable: true }),
  );
  await events("join stream", () => api.joinStream(thread, resumable.run_id, { lastEventId: "-1" }));
  await send("create, headers", "POST", `/threads/${thread}/runs`, { assistant_id: "steps", input });
  await send("wait, headers", "POST", `/threads/${thread}/runs/wait`, {
    assistant_id: "steps",
    input,
    multitask_strategy: "enqueue",
  });
}

async function refusals({ client: { threads, runs: api }, call, send }: Script): Promise<void> {
  const { thread_id: thread } = await call("another thread", () => threads.create());
  await call("no such assistant", () => api.create(thread, "nowhere", { input }));
  await call("no such thread", () => api.create(nobody, "steps", { input }));
  await call("no such thread, wait", () => api.wait(nobody, "steps", { input }));
  const fresh = "0199aaaa-0000-7000-8000-00000000000c";
  await call("if not exists, create", () => api.wait(fresh, "steps", { input, ifNotExists: "create" }));
  await call("the thread it made", () => threads.get(fresh));
  await call("get none", () => api.get(thread, nobody));
  await call("join none", () => api.join(thread, nobody));
  await call("cancel none", () => api.cancel(thread, nobody));
  await call("delete none", () => api.delete(thread, nobody));
  await call("list of no thread", () => api.list(nobody));
  await send("a wrong body", "POST", `/threads/${thread}/runs`, {
    assistant_id: "steps",
    stream_mode: "colour",
  });
  await send("not json", "POST", `/threads/${thread}/runs`, undefined);
}

async function stateless({ client: { threads, runs: api }, call }: Script): Promise<void> {
  await call("stateless wait", () => api.wait(null, "steps", { input }));
  await call("stateless fails", () => api.wait(null, "fails", { input, raiseError: false }));
  const kept = await call("stateless, kept", () =>
    api.create(null, "steps", { input, onCompletion: "keep" as never }),
  );
  await call("stateless, joined", () => api.join(kept.thread_id, kept.run_id));
  await call("stateless, its thread", () => threads.get(kept.thread_id));
  await call("batch", () =>
    api.createBatch([
      { assistantId: "steps", input },
      { assistantId: "agent", input: { messages: [] } },
    ] as never),
  );
}

async function cancels({ client: { threads, runs: api }, call }: Script): Promise<void> {
  /** What is cancelled before it began, or before its input was kept, ends differently in each attempt. */
  const begun = async ({ thread_id, run_id }: { thread_id: string; run_id: string }): Promise<void> => {
    for (let n = 0; n < beginTriesMax; n++) {
      const { status } = await api.get(thread_id, run_id);
      const { values } = await threads.getState<{ answer?: unknown }>(thread_id);
      if (status === "running" && values.answer === waiting.answer) return;
      await sleep(100);
    }
    throw new Error(`run ${run_id} did not begin`);
  };
  const { thread_id: thread } = await call("a busy thread", () => threads.create());
  const slow = await call("slow", () => api.create(thread, "slow", { input: waiting }));
  await call("reject", () => api.create(thread, "steps", { input, multitaskStrategy: "reject" }));
  const next = await call("enqueue", () =>
    api.create(thread, "steps", { input, multitaskStrategy: "enqueue" }),
  );
  await call("update state while busy", () => threads.updateState(thread, { values: { seen: [] } }));
  await begun(slow);
  await call("cancel", () => api.cancel(thread, slow.run_id, true));
  await call("join the next", () => api.join(thread, next.run_id));
  await call("the cancelled run", () => api.get(thread, slow.run_id));
  const second = await call("slow again", () => api.create(thread, "slow", { input: waiting }));
  await begun(second);
  const taking = await call("interrupt", () =>
    api.create(thread, "steps", { input, multitaskStrategy: "interrupt" }),
  );
  await call("join the one that took over", () => api.join(thread, taking.run_id));
  await call("the interrupted run", () => api.get(thread, second.run_id));
  const third = await call("slow for a rollback", () => api.create(thread, "slow", { input: waiting }));
  await begun(third);
  await call("rollback", () => api.cancel(thread, third.run_id, true, "rollback"));
  // Afterwards the dev server has lost the run or shows it in error, as it happens.
  const fourth = await call("slow for cancel many", () => api.create(thread, "slow", { input: waiting }));
  await call("cancel many", () => api.cancelMany({ threadId: thread, runIds: [fourth.run_id] }));
  await call("cancel what is left", () => api.cancel(thread, fourth.run_id, true));
  const fifth = await call("slow for the default strategy", () =>
    api.create(thread, "slow", { input: waiting }),
  );
  await call("default strategy", () => api.create(thread, "steps", { input }));
  await call("cancel the last", () => api.cancel(thread, fifth.run_id, true));
}
