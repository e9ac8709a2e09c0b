import { setTimeout as sleep } from "node:timers/promises";

type Send = (method: string, url: string, body?: unknown) => Promise<unknown>;

const deadMillisMax = 120_000;
const lookMillis = 50;

/** What chance would seldom bring about, so that there is something behind every door: `send` is told all ids. */
export async function sow(send: Send): Promise<void> {
  for (const name of ["a", "b", "c"]) await send("POST", "/assistants", { graph_id: "steps", name });
  await send("POST", "/runs/crons", { assistant_id: "steps", schedule: "0 0 1 1 *" });
  await send("PUT", "/store/items", { namespace: ["a"], key: "a", value: { b: 1 } });
  const runs = [
    { assistant_id: "steps", input: {}, webhook: "https://localhost/x" },
    { assistant_id: "asks", input: {} },
    { assistant_id: "inbox", input: {} },
    { assistant_id: "fails", input: {} },
    { assistant_id: "pays", input: { answer: "unclear" } },
  ];
  for (const run of runs) {
    const { thread_id } = (await send("POST", "/threads", {})) as { thread_id: string };
    await send("POST", `/threads/${thread_id}/runs/wait`, run);
    await send("GET", `/threads/${thread_id}/runs`);
    await send("GET", `/threads/${thread_id}/history`);
  }
  await send("GET", "/escalations");
  await send("GET", "/dead-letters");
  await send("GET", "/dead-letters/groups");
  await untilWebhookDead(send);
}

/** Its address is refused, so the first attempt is the last. */
async function untilWebhookDead(send: Send): Promise<void> {
  const until = performance.now() + deadMillisMax;
  while (((await send("GET", "/webhooks?status=dead")) as unknown[]).length === 0) {
    if (performance.now() > until) throw new Error(`no webhook was given up in ${deadMillisMax} ms`);
    await sleep(lookMillis);
  }
}
