import { Annotation, entrypoint, StateGraph } from "@langchain/langgraph";
import { describe, expect, it, onTestFinished } from "vitest";
import { z } from "zod";
import type { RunWithOutput } from "../../src/db/queries/rows.ts";
import type { RunKwargs } from "../../src/domain/run.ts";
import { chatModel } from "../../src/models/chat-model.ts";
import type { DurableChatModel } from "../../src/models/durable-model.ts";
import { extractJson } from "../../src/models/structured.ts";
import { cancelRun } from "../../src/queue/cancel.ts";
import { redriveRun } from "../../src/queue/redrive.ts";
import { asItStands } from "../../src/queue/redrive-plan.ts";
import { type ModelServer, type Script, say, startModelServer } from "../support/model-server.ts";
import { accepted, rowsOf, runFast, runtimeWith, signal } from "../support/scenario.ts";
import { untilEnded } from "../support/watch.ts";

async function serverWith(script: Script): Promise<ModelServer> {
  const server = await startModelServer({ script });
  onTestFinished(() => server.stop());
  return server;
}

const modelOf = (server: ModelServer): DurableChatModel =>
  chatModel({ model: "scripted-1", apiKey: "none", baseURL: server.url, quickRetryWaitMs: 5 });

const State = Annotation.Root({ said: Annotation<string>() });

const asking = (ask: () => Promise<string>) =>
  new StateGraph(State)
    .addNode("ask", async () => ({ said: await ask() }))
    .addEdge("__start__", "ask")
    .addEdge("ask", "__end__")
    .compile();

const said = (run: RunWithOutput): string => JSON.parse(run.output ?? "null")?.said;

it("an answer that a node got by asking again is replayed when its step is repeated", async () => {
  const server = await serverWith([{ kind: "status", status: 500 }, say("paid once"), say("paid twice")]);
  let executions = 0;
  const graph = asking(async () => {
    const model = modelOf(server);
    const answer = await model.invoke("hi").catch(() => model.invoke("hi"));
    executions += 1;
    if (executions === 1) throw Object.assign(new Error("later"), { name: "Transient" });
    return answer.text;
  });
  const runtime = await runtimeWith(graph);
  runFast(runtime);
  runtime.work({ pollMillis: 20 });
  const ended = await untilEnded(runtime, (await accepted(runtime)).run_id);
  expect(said(ended)).toBe("paid once");
  expect(executions).toBe(2);
  expect(server.requests).toHaveLength(2);
  expect(await rowsOf(runtime, "select nth, state, tries from holdfast.model_calls")).toEqual([
    { nth: 0, state: "answered", tries: 2 },
  ]);
});

it("a run that died of a bad answer asks the model anew when it is redriven", async () => {
  const server = await serverWith([say("no JSON"), say('{"total":7}')]);
  const graph = asking(async () => {
    const schema = z.object({ total: z.number() });
    const request = { model: modelOf(server), system: "Answer.", user: "How many?", schema };
    return String((await extractJson(request)).value.total);
  });
  const runtime = await runtimeWith(graph);
  runtime.work({ pollMillis: 20 });
  const dead = await untilEnded(runtime, (await accepted(runtime)).run_id);
  expect(dead.error?.code).toBe("bad_answer");
  const asked = {
    tenant: "default",
    principal: "tester",
    runId: dead.run_id,
    afterSeconds: 0,
    dryRun: false,
  };
  const { run } = await redriveRun(runtime, { ...asItStands, ...asked });
  expect(said(await untilEnded(runtime, run?.run_id ?? ""))).toBe("7");
  expect(server.requests).toHaveLength(2);
});

it("a cancelled run ends its model calls also where the node gave them a signal of its own", async () => {
  const server = await serverWith([{ kind: "hang" }]);
  const ended = signal();
  const graph = asking(async () => {
    try {
      return (await modelOf(server).invoke("hi", { signal: new AbortController().signal })).text;
    } finally {
      ended.give();
    }
  });
  const runtime = await runtimeWith(graph);
  runtime.work();
  const run = await accepted(runtime);
  const request = await server.requestArrived(1);
  await cancelRun(runtime, {
    tenant: "default",
    threadId: run.thread_id,
    runId: run.run_id,
    action: "interrupt",
  });
  await request.closed;
  await ended.given;
  expect((await untilEnded(runtime, run.run_id)).status).toBe("interrupted");
}, 15_000);

describe("an answer in the first step of a run is paid once", () => {
  /** A graph whose step fails once after the model has answered. */
  async function failingOnce(graphOf: (ask: () => Promise<string>) => unknown) {
    const server = await serverWith([say("paid once"), say("paid twice")]);
    let executions = 0;
    const runtime = await runtimeWith(
      graphOf(async () => {
        const { text } = await modelOf(server).invoke("hi");
        executions += 1;
        if (executions === 1) throw Object.assign(new Error("later"), { name: "Transient" });
        return text;
      }),
    );
    runFast(runtime);
    return { runtime, server };
  }

  it.each<[string, (ask: () => Promise<string>) => unknown, RunKwargs]>([
    [
      "that an entrypoint of the functional API takes",
      (ask) => entrypoint("talk", async () => ({ said: await ask() })),
      { input: {}, stream_mode: ["values"] },
    ],
    ["that a command goes to", asking, { command: { goto: "ask" }, stream_mode: ["values"] }],
    [
      "in which a conditional entry asks",
      (ask) =>
        new StateGraph(State)
          .addNode("done", () => ({ said: "paid once" }))
          .addConditionalEdges("__start__", async () => ((await ask()) === "paid once" ? "done" : "__end__"))
          .compile(),
      { input: {}, stream_mode: ["values"] },
    ],
  ])("%s", async (_, graphOf, kwargs) => {
    const { runtime, server } = await failingOnce(graphOf);
    const run = await accepted(runtime, { kwargs });
    runtime.work({ pollMillis: 20 });
    expect(said(await untilEnded(runtime, run.run_id))).toBe("paid once");
    expect(server.requests).toHaveLength(1);
  });
});
