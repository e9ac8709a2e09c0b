import { END, interrupt, START, StateGraph } from "@langchain/langgraph";
import { describe, expect, it } from "vitest";
import { Transient } from "../../src/domain/errors.ts";
import { effect } from "../../src/effects/effect.ts";
import { setFailpoints } from "../../src/observe/failpoint.ts";
import { createRun } from "../../src/queue/create.ts";
import {
  type Bench,
  benchWith,
  failOnceAt,
  graphOf,
  ledgerRows,
  loseLeaseOnceAt,
  openQuestions,
  recordFailpoints,
  statesOf,
} from "../support/effects.ts";
import { runRequest } from "../support/factory.ts";
import { answering, LogState, logOf, rowsOf } from "../support/scenario.ts";
import { untilEnded } from "../support/watch.ts";

const took = { type: "accept", args: null };
const tookNot = { type: "ignore", args: null };
const gave = (args: string) => ({ type: "response", args });

/** Counts the calls of each tool; the first of each loses its answer. */
function shop() {
  const sent: Record<string, number> = {};
  const keys = new Set<string>();
  const buy = (name: string, lostMax = 1): Promise<string> =>
    effect({ name, args: { what: name } }, async (key) => {
      keys.add(key);
      sent[name] = (sent[name] ?? 0) + 1;
      if (sent[name] <= lostMax) throw new Error("the answer was lost");
      return `${name} ${sent[name]}`;
    });
  return { sent, keys, buy };
}

describe("the question whether a call took place", () => {
  it("shows the evidence in Agent Inbox's form, and names its effect", async () => {
    const { buy } = shop();
    const bench = await benchWith(graphOf(() => buy("book")));
    const run = await bench.run();
    const [row] = await ledgerRows(bench.runtime);
    const [question] = await openQuestions(bench.runtime, run.thread_id);
    expect(question).toMatchObject({
      effect_id: row?.effect_id,
      priority: 2,
      on_expiry: null,
      allowed_decisions: ["accept", "response", "ignore"],
      reasons: [{ code: "effect_unknown", message: expect.stringContaining("book") }],
    });
    expect(JSON.parse(String(question?.payload))).toMatchObject([
      {
        action_request: {
          action: "Did book take place?",
          args: {
            tool: "book",
            arguments: { what: "book" },
            key: row?.key,
            times_sent: 1,
            error: "the answer was lost",
            run_id: run.run_id,
            first_sent_at: expect.stringMatching(/^2030-/),
          },
        },
        config: { allow_accept: true, allow_ignore: true, allow_respond: true, allow_edit: false },
      },
    ]);
  });

  it.each([
    ["accept goes on without a result", took, "null", "reconciled_done", 1],
    ["a response is the result, as JSON", gave('{"id":7}'), '{"id":7}', "reconciled_done", 1],
    [
      "a response that is no JSON is the result, as a text",
      gave("receipt 7"),
      '"receipt 7"',
      "reconciled_done",
      1,
    ],
    ["ignore sends it again, with the same key", tookNot, '"book 2"', "succeeded", 2],
  ])("%s", async (_, response, logged, state, times) => {
    const { sent, keys, buy } = shop();
    const bench = await benchWith(graphOf(() => buy("book")));
    const { thread_id: threadId } = await bench.run();
    const names = recordFailpoints();
    expect(logOf(await bench.answer(threadId, response))).toEqual([logged]);
    expect(names).toContain("effect.reconciled");
    expect(sent).toEqual({ book: times });
    expect(keys.size).toBe(1);
    expect(await statesOf(bench.runtime)).toEqual([`book ${state}`]);
  });

  it("is asked again about a call that was sent again and lost again: the old answer is not used twice", async () => {
    const { sent, buy } = shop();
    const bench = await benchWith(graphOf(() => buy("book", 2)));
    const { thread_id: threadId } = await bench.run();
    await bench.answer(threadId, tookNot);
    expect(await openQuestions(bench.runtime, threadId)).toHaveLength(1);
    expect(sent).toEqual({ book: 2 });
    expect(logOf(await bench.answer(threadId, gave("found")))).toEqual(['"found"']);
    expect(sent).toEqual({ book: 2 });
  });

  it.each(["effect.reconciled", "effect.dispatched", "effect.succeeded"])(
    "survives a crash at %s, between the answer and the end of the step",
    async (boundary) => {
      const { sent, buy } = shop();
      const bench = await benchWith(graphOf(() => buy("book")));
      const { thread_id: threadId } = await bench.run();
      failOnceAt(boundary);
      const run = await bench.answer(threadId, tookNot);
      // Cut between the fence and the world, nobody knows again: a human is asked about that call.
      const asksAgain = boundary === "effect.dispatched";
      expect(await openQuestions(bench.runtime, threadId)).toHaveLength(asksAgain ? 1 : 0);
      if (!asksAgain) expect(logOf(run)).toEqual(['"book 2"']);
      expect(sent).toEqual({ book: asksAgain ? 1 : 2 });
    },
  );

  it("is raised when the attempt is cut after the state was written, and only once", async () => {
    const { sent, buy } = shop();
    const bench = await benchWith(graphOf(() => buy("book")));
    failOnceAt("effect.escalated");
    const run = await bench.run();
    expect(run).toMatchObject({ status: "success", attempt: 2 });
    expect(await openQuestions(bench.runtime, run.thread_id)).toHaveLength(1);
    expect(sent).toEqual({ book: 1 });
  });

  it("is raised when another worker took the run over while the call was under way", async () => {
    const { sent, buy } = shop();
    const held: { bench?: Bench } = {};
    const bench = await benchWith(graphOf(() => buy("book", 0)));
    held.bench = bench;
    loseLeaseOnceAt("effect.performed", () => held.bench);
    const run = await bench.run();
    expect(run).toMatchObject({ status: "success", crashes: 1 });
    expect(await statesOf(bench.runtime)).toEqual(["book escalated"]);
    expect(await openQuestions(bench.runtime, run.thread_id)).toHaveLength(1);
    expect(sent).toEqual({ book: 1 });
  });

  it("takes one of two clicks", async () => {
    const { sent, buy } = shop();
    const bench = await benchWith(graphOf(() => buy("book")));
    const { thread_id: threadId } = await bench.run();
    const [question] = await openQuestions(bench.runtime, threadId);
    const click = (response: object) =>
      createRun(
        bench.runtime.db,
        runRequest({
          graphId: "any",
          threadId,
          kwargs: answering({ [String(question?.interrupt_id)]: [response] }),
        }),
      );
    const clicks = await Promise.allSettled([click(gave("first")), click(gave("second"))]);
    expect(clicks.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    const won = clicks.find((one) => one.status === "fulfilled");
    await untilEnded(bench.runtime, won?.value.run.run_id ?? "");
    expect(
      await rowsOf(bench.runtime, "select 1 from holdfast.escalations where status = 'decided'"),
    ).toHaveLength(1);
    expect(sent).toEqual({ book: 1 });
    expect(await statesOf(bench.runtime)).toEqual(["book reconciled_done"]);
  });

  it("leaves the node's own questions their places", async () => {
    const { sent, buy } = shop();
    const heard: unknown[] = [];
    const bench = await benchWith(
      graphOf(async () => {
        const before = interrupt("before?");
        const book = await buy("book");
        const after = interrupt("after?");
        heard.push([before, book, after]);
        return [before, book, after];
      }),
    );
    const { thread_id: threadId } = await bench.run();
    const say = (value: unknown) => bench.run({ threadId, kwargs: answering(value) });
    await say("b");
    await bench.answer(threadId, gave("found"));
    failOnceAt("effect.prepared");
    expect(logOf(await say("a"))).toEqual(['["b","found","a"]']);
    expect(heard).toEqual([["b", "found", "a"]]);
    expect(sent).toEqual({ book: 1 });
  });

  it("and its answer are not repeated when the node asks something behind the call", async () => {
    const { sent, buy } = shop();
    const bench = await benchWith(
      graphOf(async () => {
        const book = await buy("book");
        if (sent.book === 2 && book === "book 2") interrupt("and now?");
        return book;
      }),
    );
    const { thread_id: threadId } = await bench.run();
    await bench.answer(threadId, tookNot);
    expect(await openQuestions(bench.runtime, threadId)).toHaveLength(1);
    expect(sent).toEqual({ book: 2 });
    expect(logOf(await bench.run({ threadId, kwargs: answering("fine") }))).toEqual(['"book 2"']);
    expect(sent).toEqual({ book: 2 });
  });
});

describe("two unclear calls", () => {
  it.each([[["book", "pen"]], [["pen", "book"]]])(
    "of one node (%s called first) never take each other's answer",
    async (order) => {
      const { sent, buy } = shop();
      let executions = 0;
      const bench = await benchWith(
        graphOf(() => {
          // In another order each time.
          const names = executions++ % 2 === 0 ? order : order.toReversed();
          return Promise.all(names.map((name) => buy(name))).then((got) => got.sort());
        }),
      );
      const { thread_id: threadId } = await bench.run();
      expect(await statesOf(bench.runtime)).toEqual(
        expect.arrayContaining(["book escalated", "pen escalated"]),
      );
      let run: Awaited<ReturnType<Bench["run"]>> | undefined;
      let questions = 0;
      for (; questions < 6; questions += 1) {
        const [question] = await openQuestions(bench.runtime, threadId);
        if (question === undefined) break;
        // The book took place, the pen did not.
        run = await bench.answer(threadId, (payload) =>
          payload.includes("Did book take place?") ? gave("the book") : tookNot,
        );
      }
      expect(logOf(run as never)).toEqual(['["pen 2","the book"]']);
      expect(sent).toEqual({ book: 1, pen: 2 });
      expect(questions, "each is asked about once").toBe(2);
    },
  );

  it("of two tasks are asked about at once, and each answer goes to its own", async () => {
    const { sent, buy } = shop();
    const graph = new StateGraph(LogState)
      .addNode("a", async () => ({ log: [await buy("book")] }))
      .addNode("b", async () => ({ log: [await buy("pen")] }))
      .addEdge(START, "a")
      .addEdge(START, "b")
      .addEdge("a", END)
      .addEdge("b", END)
      .compile();
    const bench = await benchWith(graph);
    const { thread_id: threadId } = await bench.run();
    expect(await openQuestions(bench.runtime, threadId)).toHaveLength(2);
    const run = await bench.answer(threadId, (payload) =>
      payload.includes("Did book") ? gave("the book") : tookNot,
    );
    expect(logOf(run)).toEqual(["the book", "pen 2"]);
    expect(sent).toEqual({ book: 1, pen: 2 });
  });

  it("of two tasks can be answered one after the other", async () => {
    const { sent, buy } = shop();
    const graph = new StateGraph(LogState)
      .addNode("a", async () => ({ log: [await buy("book")] }))
      .addNode("b", async () => ({ log: [await buy("pen")] }))
      .addEdge(START, "a")
      .addEdge(START, "b")
      .addEdge("a", END)
      .addEdge("b", END)
      .compile();
    const bench = await benchWith(graph);
    const { thread_id: threadId } = await bench.run();
    await bench.answer(threadId, (payload) => (payload.includes("Did pen") ? tookNot : null));
    expect(sent).toEqual({ book: 1, pen: 2 });
    const run = await bench.answer(threadId, took);
    expect(logOf(run)).toEqual([null, "pen 2"]);
    expect(sent).toEqual({ book: 1, pen: 2 });
  });
});

describe("a question inside a call", () => {
  it("is no unclear outcome: the call goes on when it is answered", async () => {
    let performed = 0;
    const bench = await benchWith(
      graphOf(() =>
        effect({ name: "pay", args: 1 }, async () => {
          const ok = interrupt("may I?");
          performed += 1;
          return ok;
        }),
      ),
    );
    const { thread_id: threadId } = await bench.run();
    expect(await statesOf(bench.runtime)).toEqual(["pay failed"]);
    expect(logOf(await bench.run({ threadId, kwargs: answering("yes") }))).toEqual(['"yes"']);
    expect(performed).toBe(1);
    expect(await statesOf(bench.runtime)).toEqual(["pay succeeded"]);
  });
});

it("a question whose attempt is cut before it is stored is asked once", async () => {
  const { sent, buy } = shop();
  const bench = await benchWith(graphOf(() => buy("book")));
  let cuts = 0;
  setFailpoints((name) => {
    if (name !== "interrupt.before_commit" || ++cuts > 1) return undefined;
    throw new Transient("cut off here");
  });
  const run = await bench.run();
  expect(await openQuestions(bench.runtime, run.thread_id)).toHaveLength(1);
  expect(sent).toEqual({ book: 1 });
});
