import { once } from "node:events";
import { type LangGraphRunnableConfig, START, StateGraph } from "@langchain/langgraph";
import { expect, it } from "vitest";
import { effect } from "../../src/effects/effect.ts";
import { senderOf } from "../support/dead-letters.ts";
import type { TestRuntime } from "../support/runtime.ts";
import { LogState, runtimeWith, signal } from "../support/scenario.ts";
import { untilEnded } from "../support/watch.ts";

interface World {
  broken: boolean;
  /** The last step waits until its run is cancelled. */
  held: boolean;
  books: boolean;
  log: string[];
}

function graphIn(world: World, atLast: () => void) {
  const deed = (name: string) => ({ perform: async () => world.log.push(name) });
  return new StateGraph(LogState)
    .addNode("first", () => {
      if (world.broken) throw new TypeError("broken");
      return { log: ["first"] };
    })
    .addNode("second", async () => {
      const booking = {
        name: "book",
        args: {},
        class: "compensatable",
        compensate: deed("cancel").perform,
      } as const;
      if (world.books) await effect(booking, deed("book").perform);
      return { log: ["second"] };
    })
    .addNode("last", async (_state, { signal: cancelled }: LangGraphRunnableConfig) => {
      atLast();
      if (world.held && cancelled?.aborted === false) await once(cancelled, "abort");
      cancelled?.throwIfAborted();
      return { log: ["last"] };
    })
    .addEdge(START, "first")
    .addEdge("first", "second")
    .addEdge("second", "last")
    .compile();
}

/** A dead letter whose redrive took a step, and was then cancelled. `unbegun` when it died before it had read its input. */
async function redrivenAndCancelled({ unbegun = false, books = false }) {
  const world: World = { broken: !unbegun, held: true, books, log: [] };
  const last = signal();
  const runtime = await runtimeWith(graphIn(world, last.give));
  const { send } = senderOf(runtime);
  const ended = (runId: string) => untilEnded(runtime, runId);
  const { thread_id: thread } = (await send("POST", "/threads", {})).json;
  const asked = { assistant_id: "any", input: { log: ["asked"] } };
  const { run_id: dead } = (await send("POST", `/threads/${thread}/runs`, asked)).json;
  if (unbegun) await die(runtime, dead);
  runtime.work();
  expect(await ended(dead)).toMatchObject({ status: "error" });
  world.broken = false;
  const redrive = (body: object = {}) => send("POST", `/dead-letters/${dead}/redrive`, body);
  const { json: cancelled } = await redrive();
  await last.given;
  await send("POST", `/threads/${thread}/runs/${cancelled.run_id}/cancel`);
  expect(await ended(cancelled.run_id)).toMatchObject({ status: "interrupted" });
  world.held = false;
  const values = async () => (await send("GET", `/threads/${thread}`)).json.values;
  return { world, runtime, send, thread, dead, redrive, ended, values };
}

const die = ({ db }: TestRuntime, runId: string) =>
  db.query({
    text: `update holdfast.runs set status = 'error', finished_at = now(),
                  error = '{"code":"crash_budget","name":"WorkerCrashed","message":"x"}' where run_id = $1`,
    values: [runId],
  });

it.each([
  { died: "in its first step", unbegun: false },
  { died: "before it had read its input", unbegun: true },
])(
  "a dead letter that died $died is redriven from where its cancelled redrive got to",
  async ({ unbegun }) => {
    const { redrive, ended, values } = await redrivenAndCancelled({ unbegun });
    const { status, json } = await redrive();
    expect(status).toBe(202);
    expect(await ended(json.run_id)).toMatchObject({ status: "success" });
    expect(await values()).toEqual({ log: ["asked", "first", "second", "last"] });
    expect(await redrive()).toMatchObject({ status: 409 });
  },
);

it.each([false, true])(
  "from the start, what a cancelled redrive wrote is left aside (died before its input was read: %s)",
  async (unbegun) => {
    const { redrive, ended, values } = await redrivenAndCancelled({ unbegun });
    const { status, json } = await redrive({ from: "start" });
    expect(status).toBe(202);
    expect(await ended(json.run_id)).toMatchObject({ status: "success" });
    expect(await values()).toEqual({ log: ["asked", "first", "second", "last"] });
  },
);

it("is not redriven from there when what the cancelled redrive did to the world was undone", async () => {
  const { world, runtime, redrive, ended } = await redrivenAndCancelled({ books: true });
  const { rows } = await runtime.db.query({
    text: "select run_id from holdfast.runs where kind = 'compensation'",
    values: [],
  });
  await ended(String(rows[0]?.run_id));
  expect(world.log).toEqual(["book", "cancel"]);
  expect(await redrive()).toMatchObject({ status: 409, text: expect.stringMatching(/were undone/) });
});

it("is not redriven when another run came after the cancelled redrive", async () => {
  const { send, thread, redrive, ended } = await redrivenAndCancelled({});
  const asked = { assistant_id: "any", input: { log: ["again"] } };
  const { run_id } = (await send("POST", `/threads/${thread}/runs`, asked)).json;
  await ended(run_id);
  expect(await redrive()).toMatchObject({ status: 409, text: expect.stringMatching(/has a later run/) });
});
