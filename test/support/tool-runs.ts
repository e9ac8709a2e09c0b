import type { RunWithOutput } from "../../src/db/queries/rows.ts";
import type { TestRuntime } from "./runtime.ts";
import { accepted, answering, rowsOf, runtimeWith } from "./scenario.ts";
import { untilEnded } from "./watch.ts";

export interface Worked {
  runtime: TestRuntime;
  run: RunWithOutput;
}

const kwargs = {
  input: { messages: [{ role: "user", content: "go" }] },
  stream_mode: ["values" as const],
};

/** Works on a run of this graph until it has ended. */
export async function worked(graph: unknown): Promise<Worked> {
  const runtime = await runtimeWith(graph);
  runtime.work({ pollMillis: 20 });
  const { run_id } = await accepted(runtime, { kwargs });
  return { runtime, run: await untilEnded(runtime, run_id) };
}

/** Answers the open question that has this text, and works until that run has ended. */
export async function answered({ runtime, run }: Worked, text: string, decision: unknown): Promise<Worked> {
  const asked = await openQuestions(runtime);
  const question = asked.find(({ payload }) => payload.includes(text));
  if (question === undefined) throw new Error(`nobody asks "${text}": ${JSON.stringify(asked)}`);
  const resume = { [question.interrupt_id]: decision };
  const next = await accepted(runtime, { threadId: run.thread_id, kwargs: answering(resume) });
  return { runtime, run: await untilEnded(runtime, next.run_id) };
}

export async function openQuestions(
  runtime: TestRuntime,
): Promise<{ interrupt_id: string; payload: string }[]> {
  const text =
    "select interrupt_id, payload from holdfast.escalations where status = 'open' order by payload";
  return (await rowsOf(runtime, text)) as never;
}

export interface SeenToolMessage {
  id: string;
  content: unknown;
  status?: string;
  name?: string;
  tool_call_id: string;
  artifact?: unknown;
}

export const toolMessagesOf = (run: RunWithOutput): SeenToolMessage[] =>
  JSON.parse(run.output ?? '{"messages":[]}').messages.filter(
    ({ type }: { type: string }) => type === "tool",
  );

export const answersOf = (run: RunWithOutput): unknown[] => toolMessagesOf(run).map(({ content }) => content);

export const ledgerOf = async (runtime: TestRuntime): Promise<unknown[]> =>
  (await rowsOf(runtime, "select tool, state from holdfast.effects order by tool, args, prepared_at")).map(
    ({ tool, state }) => `${tool} ${state}`,
  );
