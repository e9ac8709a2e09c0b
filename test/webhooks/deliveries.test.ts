import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { takeDeliveries } from "../../src/db/queries/webhooks.ts";
import type { Outcome } from "../../src/domain/outcome.ts";
import { openMetrics } from "../../src/observe/metrics.ts";
import { cancelRun } from "../../src/queue/cancel.ts";
import { WebhookSender, waitSeconds } from "../../src/webhooks/sender.ts";
import { senderOf } from "../support/dead-letters.ts";
import { makeRun } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { startRuntime, type TestRuntime } from "../support/runtime.ts";
import { rowsOf } from "../support/scenario.ts";
import { settle } from "../support/settle.ts";
import { untilEnded } from "../support/watch.ts";

const secret = `whsec_${Buffer.from("a secret of twenty-four b").toString("base64")}`;
const began = new Date("2030-01-01T00:00:00Z");

let runtime: TestRuntime;
let now: Date;
beforeEach(async () => {
  runtime = await startRuntime();
  now = began;
  runtime.clock.set(now);
});
afterEach(() => runtime.close());

function pass(seconds: number): void {
  now = new Date(now.getTime() + seconds * 1_000);
  runtime.clock.set(now);
}

const sender = ({ secrets = [secret], allowPrivate = true } = {}): WebhookSender =>
  new WebhookSender({ ...runtime, metrics: openMetrics(), now: () => now }, { secrets, allowPrivate });

/** One look at the outbox, and the end of whatever it started. */
async function send(by = sender()): Promise<number> {
  const taken = await by.runOnce();
  await by.settled();
  return taken;
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!holds() && Date.now() < deadline) await new Promise((resolve) => setImmediate(resolve));
  expect(holds()).toBe(true);
}

const view = { values: { answer: 42 }, interrupts: {}, parked: false };
const success: Outcome = { kind: "success", view, questions: [], graphVersion: "1" };

async function ended(url: string, outcome: Outcome = success, tenant = "default"): Promise<RunRow> {
  const kwargs = { input: { question: "?" }, stream_mode: ["values"], webhook: url };
  const run = await makeRun(runtime.db, "running", { kwargs, tenant, metadata: { ticket: 7 } });
  await settle(runtime.db, { run, outcome, finalEvents: [] });
  return run;
}

const outbox = () => rowsOf(runtime, "select * from holdfast.webhook_deliveries order by created_at");
const statuses = async () => (await outbox()).map(({ status }) => status);

describe("the end of a run", () => {
  it("is told once, signed, with the run and the values of its thread", async () => {
    const receiver = await startReceiver();
    const run = await ended(receiver.url);
    expect(await send()).toBe(1);
    expect(await send()).toBe(0);
    const [{ headers, body } = { headers: {}, body: "" }] = receiver.received;
    expect(receiver.received).toHaveLength(1);
    expect(JSON.parse(body)).toMatchObject({
      run_id: run.run_id,
      thread_id: run.thread_id,
      assistant_id: run.assistant_id,
      status: "success",
      metadata: { ticket: 7 },
      kwargs: { input: { question: "?" } },
      values: { answer: 42 },
      run_started_at: expect.stringContaining("2030-01-01T00:00:00"),
      run_ended_at: expect.stringContaining("2030-01-01T00:00:00"),
      webhook_sent_at: now.toISOString(),
    });
    expect(JSON.parse(body)).not.toHaveProperty("error");
    const signer = new Webhook(secret);
    const id = String(headers["webhook-id"]);
    expect(headers["webhook-signature"]).toBe(signer.sign(id, now, body));
    expect(headers["webhook-timestamp"]).toBe(String(now.getTime() / 1_000));
    expect(await statuses()).toEqual(["delivered"]);
  });

  it("in an error is told with the error", async () => {
    const receiver = await startReceiver();
    const error = { code: "error", name: "Error", message: "no such city" };
    await ended(receiver.url, { kind: "dead", status: "error", error });
    await send();
    expect(JSON.parse(receiver.received[0]?.body ?? "")).toMatchObject({
      status: "error",
      error: "no such city",
      values: null,
    });
  });

  it("by a cancel while it waited is told too, and a rollback is not", async () => {
    const receiver = await startReceiver();
    const kwargs = { input: {}, stream_mode: ["values"], webhook: receiver.url };
    for (const action of ["interrupt", "rollback"] as const) {
      const { run_id: runId, thread_id: threadId } = await makeRun(runtime.db, "queued", { kwargs });
      await cancelRun(runtime, { tenant: "default", threadId, runId, action });
    }
    await send();
    expect(receiver.received.map(({ body }) => JSON.parse(body).status)).toEqual(["interrupted"]);
  });

  it("is written down with its end, and only where somebody asked for it", async () => {
    const run = await makeRun(runtime.db, "running");
    await settle(runtime.db, { run, outcome: success, finalEvents: [] });
    expect(await outbox()).toEqual([]);
  });

  it("is signed with each of the secrets, so that one can be replaced by another", async () => {
    const receiver = await startReceiver();
    const other = `whsec_${Buffer.from("another one of as many b").toString("base64")}`;
    await ended(receiver.url);
    await send(sender({ secrets: [secret, other] }));
    const [{ headers, body } = { headers: {}, body: "" }] = receiver.received;
    const id = String(headers["webhook-id"]);
    const signatures = [secret, other].map((one) => new Webhook(one).sign(id, now, body));
    expect(headers["webhook-signature"]).toBe(signatures.join(" "));
  });
});

describe("a receiver that", () => {
  it("is down for an hour is told when it is back, under the same id", async () => {
    const receiver = await startReceiver();
    receiver.answer = (response) => response.writeHead(500).end();
    await ended(receiver.url);
    let passed = 0;
    for (const wait of waitSeconds.slice(0, 4)) {
      expect(await send()).toBe(1);
      pass(wait - 1);
      expect(await send(), "before its time").toBe(0);
      pass(1);
      passed += wait;
    }
    expect(passed).toBeGreaterThan(3_600);
    receiver.answer = (response) => response.end();
    expect(await send()).toBe(1);
    expect(await statuses()).toEqual(["delivered"]);
    expect(new Set(receiver.received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
  });

  it("refuses every connection is given up after the last wait, and told again by hand", async () => {
    const receiver = await startReceiver();
    const port = Number(new URL(receiver.url).port);
    receiver.answer = (response) => response.destroy();
    const run = await ended(receiver.url);
    for (const wait of waitSeconds) {
      expect(await send()).toBe(1);
      pass(wait);
    }
    expect(await statuses()).toEqual(["pending"]);
    expect(await send()).toBe(1);
    expect(await statuses()).toEqual(["dead"]);
    const http = senderOf(runtime);
    const { json } = await http.send("GET", `/webhooks?status=dead&run_id=${run.run_id}`);
    expect(json).toMatchObject([
      { status: "dead", attempts: 10, error: expect.stringMatching(/hang up|reset/) },
    ]);
    expect(port).toBeGreaterThan(0);
    receiver.answer = (response) => response.end();
    expect((await http.send("POST", `/webhooks/${json[0].delivery_id}/redrive`)).status).toBe(202);
    expect(await send()).toBe(1);
    expect(await statuses()).toEqual(["delivered"]);
    expect((await http.send("POST", `/webhooks/${json[0].delivery_id}/redrive`)).status).toBe(404);
  });

  it("is gone (410) is not asked again", async () => {
    const receiver = await startReceiver();
    receiver.answer = (response) => response.writeHead(410).end();
    await ended(receiver.url);
    await send();
    expect(await outbox()).toMatchObject([{ status: "dead", error: "answered 410", attempts: 1 }]);
  });

  it("says when to come back is not asked before", async () => {
    const receiver = await startReceiver();
    receiver.answer = (response) => response.writeHead(429, { "retry-after": "120" }).end();
    await ended(receiver.url);
    await send();
    pass(119);
    expect(await send()).toBe(0);
    pass(1);
    expect(await send()).toBe(1);
  });

  it("sends on to another address is not followed", async () => {
    const receiver = await startReceiver();
    const inside = await startReceiver();
    receiver.answer = (response) => response.writeHead(302, { location: inside.url }).end();
    await ended(receiver.url);
    await send();
    expect(inside.received).toEqual([]);
    expect(await outbox()).toMatchObject([{ status: "pending", error: "answered 302" }]);
  });

  it("answers without end is cut off, and has been told", async () => {
    const receiver = await startReceiver();
    let written = 0;
    let cut = (): void => undefined;
    const closed = new Promise<void>((resolve) => {
      cut = resolve;
    });
    receiver.answer = (response) => {
      const more = (): void => {
        written += 65_536;
        if (response.write(Buffer.alloc(65_536))) setImmediate(more);
        else response.once("drain", more);
      };
      response.writeHead(200).once("close", cut);
      more();
    };
    await ended(receiver.url);
    await send();
    await closed;
    expect(await statuses()).toEqual(["delivered"]);
    expect(written).toBeLessThan(50_000_000);
  });

  it("never answers is given up for now after ten seconds, and nobody waits behind it", async () => {
    const slow = await startReceiver();
    const quick = await startReceiver();
    slow.answer = () => undefined;
    await ended(slow.url);
    const by = sender();
    expect(await by.runOnce()).toBe(1);
    pass(1);
    await ended(quick.url);
    expect(await send()).toBe(1);
    expect(quick.received).toHaveLength(1);
    await by.settled();
    expect(await outbox()).toMatchObject([
      { status: "pending", error: "no answer within 10000 ms" },
      { status: "delivered" },
    ]);
  });
});

describe("an address inside", () => {
  it.each([
    "https://127.0.0.1:1/",
    "https://localhost:1/",
    "https://169.254.169.254/",
    "https://[::1]/",
    "https://10.0.0.1/",
  ])("%s is never connected to", async (url) => {
    await ended(url);
    await send(sender({ allowPrivate: false }));
    expect(await outbox()).toMatchObject([
      { status: "dead", error: expect.stringContaining("is not allowed") },
    ]);
  });

  it("is not reached by plain http either", async () => {
    const receiver = await startReceiver();
    await ended(receiver.url);
    await send(sender({ allowPrivate: false }));
    expect(receiver.received).toEqual([]);
    expect(await outbox()).toMatchObject([{ status: "dead", error: expect.stringContaining("only https") }]);
  });
});

describe("senders", () => {
  it("do not let one tenant's dead receiver hold up the others", async () => {
    const dead = await startReceiver();
    dead.answer = () => undefined;
    const alive = await startReceiver();
    for (let n = 0; n < 30; n += 1) await ended(dead.url);
    pass(1);
    await ended(alive.url, success, "somebody else");
    const by = sender();
    expect(await by.runOnce()).toBe(6);
    await until(() => alive.received.length === 1);
    expect(await by.runOnce(), "no more of the tenant whose receiver hangs").toBe(0);
    await by.stop();
  });

  it("give up what they have died with again and again", async () => {
    await ended((await startReceiver()).url);
    await runtime.db.query({ text: "update holdfast.webhook_deliveries set attempts = 20", values: [] });
    await send();
    expect(await outbox()).toMatchObject([
      { status: "dead", error: expect.stringContaining("senders died") },
    ]);
  });

  it("that look at the same time tell each end once", async () => {
    const receiver = await startReceiver();
    for (let n = 0; n < 5; n += 1) await ended(receiver.url);
    const taken = await Promise.all([send(), send(), send()]);
    expect(taken.reduce((sum, n) => sum + n, 0)).toBe(5);
    expect(new Set(receiver.received.map(({ headers }) => headers["webhook-id"])).size).toBe(5);
    expect(receiver.received).toHaveLength(5);
  });

  it("that die with a delivery in hand are followed by another a minute later", async () => {
    const receiver = await startReceiver();
    await ended(receiver.url);
    const which = { inside: true, outside: true, without: [] };
    expect(
      await takeDeliveries(runtime.db, { limit: 20, holdSeconds: 60, perTenantMax: 5, ...which }),
    ).toHaveLength(1);
    expect(await send()).toBe(0);
    pass(60);
    expect(await send()).toBe(1);
    expect(receiver.received).toHaveLength(1);
  });

  it("that stop break off what is under way, and it stays due", async () => {
    const receiver = await startReceiver();
    receiver.answer = () => undefined;
    await ended(receiver.url);
    const by = sender();
    await by.runOnce();
    await by.stop();
    expect(await statuses()).toEqual(["pending"]);
  });
});

describe("over HTTP", () => {
  it("a run is told of when a worker has ended it", async () => {
    runtime.clock.set(new Date());
    const told = new Promise<string>((resolve) => {
      const server = createServer(async (request, response) => {
        let body = "";
        for await (const chunk of request) body += String(chunk);
        response.end();
        server.close();
        resolve(body);
      });
      server.listen(0, "127.0.0.1", async () => {
        const webhook = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
        const { json } = await senderOf(runtime, { webhooksPrivate: true }).send("POST", "/runs", {
          assistant_id: "steps",
          input: {},
          on_completion: "keep",
          webhook,
        });
        runtime.work();
        await untilEnded(runtime, json.run_id);
      });
    });
    expect(JSON.parse(await told)).toMatchObject({ status: "success" });
  });

  it.each([
    ["ftp://example.com/", "expected an http or https URL"],
    ["//example.com/", "a path of this server begins with one slash"],
    ["http://example.com/", "webhook: only https is called"],
    ["https://user:secret@example.com/", "a user or password"],
  ])("%s is refused, and nothing is written", async (webhook, message) => {
    const sent = await senderOf(runtime).send("POST", "/runs", { assistant_id: "steps", input: {}, webhook });
    expect(sent).toMatchObject({ status: 422, text: expect.stringContaining(message) });
    expect(await rowsOf(runtime, "select 1 from holdfast.runs")).toEqual([]);
  });

  it("what is another tenant's is neither listed nor sent again", async () => {
    const receiver = await startReceiver();
    receiver.answer = (response) => response.writeHead(410).end();
    await ended(receiver.url, success, "somebody else");
    await send();
    const http = senderOf(runtime);
    expect((await http.send("GET", "/webhooks")).json).toEqual([]);
    const [{ delivery_id } = {}] = await outbox();
    expect((await http.send("POST", `/webhooks/${String(delivery_id)}/redrive`)).status).toBe(404);
  });
});
