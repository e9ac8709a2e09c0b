import type { Client } from "@langchain/langgraph-sdk";
import type { Machine } from "../demo-machine.ts";
import { type Escalation, type Promised, say, until } from "./stage.ts";
import { startWorld } from "./world.ts";

interface LedgerRow {
  tool: string;
  state: string;
}

/** Both calls take place, both replies are lost. One can be looked up, for the other a human looks. */
export async function resolveLostReplies(client: Client, machine: Machine): Promise<Promised[]> {
  say("\n3. An invoice is paid and a letter sent; the line drops before either has answered\n");
  const world = await startWorld();
  const worker = await machine.startWorker("payer");
  try {
    const { thread_id: threadId } = await client.threads.create();
    const { run_id: runId } = await client.runs.create(threadId, "invoice", {
      input: { world: world.url, invoice: "2030-117" },
    });
    const ledger = async (): Promise<LedgerRow[]> =>
      (await machine.get(`/threads/${threadId}/effects`)) as LedgerRow[];
    const stateOf = async (tool: string): Promise<string | undefined> =>
      (await ledger()).find((row) => row.tool === tool)?.state;
    await until("the lost reply", async () => (await stateOf("pay_invoice")) === "unknown");
    say(
      "   pay_invoice: unknown. It is not sent again: the bank can be asked, in 5 seconds, by the call's key",
    );
    await until("the look-up", async () => (await stateOf("pay_invoice")) === "reconciled_done");
    say(
      `   pay_invoice: reconciled_done. The bank has ${world.payments.length} payment; its receipt goes on`,
    );
    await until("the question", async () => (await client.threads.get(threadId)).status === "interrupted");
    say("   send_letter: escalated. Nobody can look a letter up, so it is never sent again by itself:");
    const [question] = (await machine.get(`/escalations?thread_id=${threadId}`)) as Escalation[];
    if (question === undefined) throw new Error("nobody was asked");
    for (const line of question.payload[0]?.description.split("\n") ?? []) say(`   | ${line}`);
    await machine.post(`/escalations/${question.escalation_id}/decide`, { decision: "accept" });
    await until("the end of the run", async () => (await client.threads.get(threadId)).status === "idle");
    const { status } = await client.runs.get(threadId, runId);
    const rows = await ledger();
    const letter = rows.find(({ tool }) => tool === "send_letter");
    say(`\n   The clerk has seen it leave. send_letter: ${letter?.state}`);
    return [
      { what: "payments at the bank", expected: "1", counted: String(world.payments.length) },
      { what: "letters at the post office", expected: "1", counted: String(world.letters.length) },
      {
        what: "calls whose reply was lost, resolved",
        expected: "2",
        counted: String(rows.filter((row) => row.state === "reconciled_done").length),
      },
      { what: "the run that asked", expected: "success", counted: status },
    ];
  } finally {
    await worker.stop();
    await world.stop();
  }
}
