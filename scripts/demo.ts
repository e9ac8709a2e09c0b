/**
 * Shows three promises on this machine, with nothing installed but Node: npm run build && npm run demo
 * A human answers for an agreement that the model cannot mend; a worker is killed in the middle of a batch; two tool
 * calls take place and their replies are lost.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "@langchain/langgraph-sdk";
import { resolveLostReplies } from "./demo/lost-replies.ts";
import { type Escalation, type Promised, say, until } from "./demo/stage.ts";
import { type Machine, startMachine } from "./demo-machine.ts";
import { makeContracts } from "./make-contracts.ts";
import { makePurchaseAgreements } from "./make-purchase-agreements.ts";

const documents = 100;
const killAt = 47;
/** Long against a poll, so that the kill comes at the very document. */
const pauseMs = 150;
const agreement = "29-earnest-in-euros.txt";

interface Finding {
  path: string;
  code: string;
  severity: string;
  message: string;
}

interface ReviewValues {
  findings: Finding[];
  repairs: number;
  status: string;
  confidence: number | null;
  record: Record<string, { value: unknown } | null>;
  filed: { file: string } | null;
}

async function main(): Promise<void> {
  const began = performance.now();
  const machine = await startMachine();
  const results: Promised[] = [];
  process.once("SIGINT", () => void machine.stop().finally(() => process.exit(130)));
  try {
    const client = new Client({ apiUrl: machine.url, apiKey: null });
    say(`Holdfast listens on ${machine.url}; its data lies in ${machine.folder}`);
    results.push(...(await reviewAnAgreement(client, machine)));
    results.push(...(await surviveAKill(client, machine)));
    results.push(...(await resolveLostReplies(client, machine)));
  } catch (error) {
    say(`\nthe demo broke off: ${error instanceof Error ? error.message : String(error)}`);
    say(machine.logTail());
    process.exitCode = 1;
  } finally {
    await machine.stop();
  }
  const kept = table(results);
  say(`${Math.round((performance.now() - began) / 1000)} s, and the temporary folder is gone.`);
  if (!kept) process.exitCode = 1;
}

/** Part 1: findings, repair, a question, an edit, the filed record. */
async function reviewAnAgreement(client: Client, machine: Machine): Promise<Promised[]> {
  say(`\n1. A purchase agreement whose deposit is in another currency (${agreement})\n`);
  const sample = makePurchaseAgreements(1).find(({ file }) => file === agreement);
  if (sample === undefined) throw new Error(`the sample ${agreement} is gone`);
  const { text, label } = sample;
  const worker = await machine.startWorker("reviewer");
  const { thread_id: threadId } = await client.threads.create();
  const input = {
    document: { source_id: agreement, text },
    business_date: label.business_date,
    time_zone: label.time_zone,
  };
  await client.runs.create(threadId, "contract_review", { input });
  await until("the question", async () => (await client.threads.get(threadId)).status === "interrupted");

  for (const values of await rounds(client, threadId)) {
    say(
      values.repairs === 0
        ? "   The model read the agreement. The validator says:"
        : `   After repair ${values.repairs} it says:`,
    );
    for (const { path, message } of values.findings) say(`     - ${path}: ${message}`);
  }
  const [question] = (await machine.get(`/escalations?thread_id=${threadId}`)) as Escalation[];
  if (question === undefined) throw new Error("nobody was asked");
  say("\n   What it cannot mend is a human's matter. The question in the inbox:");
  for (const line of question.payload[0]?.description.split("\n") ?? []) say(`   | ${line}`);

  say("\n   The reviewer strikes the deposit from the record, and somebody else decides as well:");
  const edit = { decision: "edit", args: { earnest_money: null } };
  const first = await machine.post(`/escalations/${question.escalation_id}/decide`, edit);
  const second = await machine.post(`/escalations/${question.escalation_id}/decide`, { decision: "accept" });
  say(`     first answer ${first.status}, second answer ${second.status}`);
  if (first.status >= 300) throw new Error(`the decision was refused: ${first.text}`);
  await until("the filing", async () => (await reviewOf(client, threadId)).status === "filed");
  const end = await reviewOf(client, threadId);
  await worker.stop();
  const names = readdirSync(machine.filed).filter((name) => name.endsWith(".json"));
  const filed = JSON.parse(readFileSync(join(machine.filed, names[0] ?? ""), "utf8")) as {
    record: { record: ReviewValues["record"] };
  };
  say(`     filed as ${end.filed?.file}`);
  for (const [field, read] of Object.entries(filed.record.record))
    say(
      `       ${field}: ${JSON.stringify(Array.isArray(read) ? read.map(({ value }) => value) : (read?.value ?? null))}`,
    );
  return [
    {
      what: "repairs before a human is asked",
      expected: "1 or 2",
      counted: String(end.repairs),
      kept: end.repairs >= 1 && end.repairs <= 2,
    },
    {
      what: "answers that were taken, and refused",
      expected: "202 409",
      counted: `${first.status} ${second.status}`,
    },
    { what: "records filed", expected: "1", counted: String(names.length) },
    {
      what: "deposit in the filed record",
      expected: "null",
      counted: JSON.stringify(filed.record.record.earnest_money),
    },
    { what: "findings left", expected: "0", counted: String(end.findings.length) },
  ];
}

const reviewOf = async (client: Client, threadId: string): Promise<ReviewValues> =>
  (await client.threads.getState<ReviewValues>(threadId)).values;

/** The state after each validation, oldest first. */
async function rounds(client: Client, threadId: string): Promise<ReviewValues[]> {
  const history = await client.threads.getHistory<ReviewValues>(threadId, { limit: 50 });
  const byRepairs = new Map<number, ReviewValues>();
  for (const { values } of history) {
    const { repairs, findings } = values;
    if (repairs !== undefined && findings.length > 0 && !byRepairs.has(repairs))
      byRepairs.set(repairs, values);
  }
  return [...byRepairs.values()].sort((a, b) => a.repairs - b.repairs);
}

interface BatchValues {
  status: string;
  completed: number;
  total: number;
}

/** Part 2: a worker is killed at document 47 of 100; another goes on at 48. */
async function surviveAKill(client: Client, machine: Machine): Promise<Promised[]> {
  say(`\n2. ${documents} contracts; the worker is killed when ${killAt} are done\n`);
  const inbox = join(machine.documents, "inbox");
  mkdirSync(inbox, { recursive: true });
  for (const { name, text } of makeContracts(documents, 1)) writeFileSync(join(inbox, name), text);
  const first = await machine.startWorker("first");
  const { thread_id: threadId } = await client.threads.create();
  const asked = await machine.modelRequests();
  const { run_id: runId } = await client.runs.create(threadId, "document_batch", {
    input: { folder: "inbox", pause_ms: pauseMs },
    config: { recursion_limit: documents + 10 },
  });
  const stateOf = async (): Promise<Partial<BatchValues>> =>
    (await client.threads.getState<BatchValues>(threadId)).values;
  const seen: number[] = [];
  const follow = (stop: (completed: number) => boolean) => async (): Promise<boolean> => {
    const { completed = 0, total = documents } = await stateOf();
    if (seen.at(-1) !== completed) seen.push(completed);
    bar(completed, total);
    return stop(completed);
  };
  await until(
    `document ${killAt}`,
    follow((completed) => completed >= killAt),
  );
  first.kill();
  await sleep(500);
  const { completed: atKill = 0 } = await stateOf();
  const afterKill = (await client.runs.get(threadId, runId)).status;
  say(`\n   SIGKILL at ${atKill} of ${documents}; the run is ${afterKill}, and nobody works on it`);

  const killed = performance.now();
  const second = await machine.startWorker("second");
  await until(
    `document ${atKill + 1}`,
    follow((completed) => completed > atKill),
  );
  say(`\n   ${((performance.now() - killed) / 1000).toFixed(1)} s later a second worker goes on`);
  await until(
    "the end of the batch",
    follow((completed) => completed >= documents),
  );
  await until(
    "the end of the run",
    async () => (await client.runs.get(threadId, runId)).status === "success",
  );
  await second.stop();
  say();
  const state = await stateOf();
  const steps = await stepsOf(client, threadId);
  const repeated = steps.filter((completed, at) => steps.indexOf(completed) !== at).length;
  const requests = (await machine.modelRequests()) - asked;
  const next = steps[steps.indexOf(atKill) + 1];
  return [
    { what: "documents done when the worker was killed", expected: String(killAt), counted: String(atKill) },
    { what: "the step that followed", expected: String(killAt + 1), counted: String(next) },
    {
      what: "steps committed, each once",
      expected: `${documents} 0`,
      counted: `${new Set(steps).size} ${repeated}`,
    },
    {
      what: "calls of the model",
      expected: `${documents} or ${documents + 1}`,
      counted: String(requests),
      kept: requests >= documents && requests <= documents + 1,
    },
    {
      what: "GET state at the end",
      expected: `done ${documents}/${documents}`,
      counted: `${state.status} ${state.completed}/${state.total}`,
    },
  ];
}

/** `completed` of each committed step, in order. */
async function stepsOf(client: Client, threadId: string): Promise<number[]> {
  const history = await client.threads.getHistory<BatchValues>(threadId, { limit: documents * 2 });
  const steps = history.map(({ values }) => values.completed ?? 0).filter((completed) => completed > 0);
  return steps.reverse();
}

const barWidth = 40;
let shown = -1;

function bar(completed: number, total: number): void {
  if (completed === shown) return;
  shown = completed;
  const full = Math.round((barWidth * completed) / Math.max(1, total));
  const text = `   [${"#".repeat(full)}${".".repeat(barWidth - full)}] ${completed}/${total}`;
  if (process.stdout.isTTY) process.stdout.write(`\r${text}`);
  else if (completed % 10 === 0) say(text);
}

const isKept = ({ expected, counted, kept }: Promised): boolean => kept ?? expected === counted;

/** Prints what was promised and what was counted; true when all of it holds. */
function table(results: readonly Promised[]): boolean {
  if (results.length === 0) return false;
  const width = (key: "what" | "expected" | "counted"): number =>
    Math.max(key.length, ...results.map((row) => row[key].length));
  const line = (row: Promised, mark: string): string =>
    `   ${row.what.padEnd(width("what"))}  ${row.expected.padEnd(width("expected"))}  ${row.counted.padEnd(width("counted"))}  ${mark}`;
  say(`\n${line({ what: "what", expected: "expected", counted: "counted" }, "")}`);
  for (const row of results) say(line(row, isKept(row) ? "ok" : "NOT KEPT"));
  say();
  return results.every(isKept);
}

await main();
