// Sends what the outbox holds: at least once, signed, under an id that stays. It never holds up a run: the rows are
// written by the statement that ends it. Read next: src/db/queries/webhooks.ts, post.ts.
import { Webhook } from "standardwebhooks";
import type { Database } from "../db/pool.ts";
import {
  type DeliveryRow,
  type DueDelivery,
  delivered,
  deliveryContent,
  notDelivered,
  takeDeliveries,
} from "../db/queries/webhooks.ts";
import { one } from "../db/query.ts";
import { withoutUser } from "../domain/caller.ts";
import { retryAfterMs } from "../domain/retry-after.ts";
import type { RunKwargs } from "../domain/run.ts";
import { storable } from "../domain/text.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { AddressRefused, type Answer, post, within } from "./post.ts";

/** Seconds to wait after each attempt that failed, as Standard Webhooks advises; after the last one it is dead. */
export const waitSeconds = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400] as const;
const underWayMax = 20;
/** So that a tenant whose receiver hangs does not hold up the others. */
const underWayOfTenantMax = 5;
/** One more than there are waits, and one for each time that a sender may have died with it. */
const attemptsMax = 2 * (waitSeconds.length + 1);
/** Longer than an attempt may take: whose sender has died is sent again then. */
const holdSeconds = 60;
const errorCharsMax = 500;
/** The receiver is gone for good. */
const gone = 410;

interface Deps {
  db: Database;
  log: Log;
  metrics: Metrics;
  now: () => Date;
}

export interface WebhookOptions {
  /** Every delivery is signed with each of them; without any it is not signed. */
  secrets: readonly string[];
  allowPrivate: boolean;
  /** Posts to a path of the app itself; null where this process has no app: one that has sends it. */
  inside?: PostInside | null;
  /** Whether URLs are called from here; yes unless said. */
  outside?: boolean;
}

export interface InsidePost {
  path: string;
  headers: Record<string, string>;
  body: string;
  /** Whose run it was: the request may do no more than they may. */
  tenant: string;
  configurable: Record<string, unknown>;
}
export type PostInside = (asked: InsidePost) => Promise<Answer>;

export class WebhookSender {
  readonly #deps: Deps;
  readonly #options: WebhookOptions;
  readonly #signers: Webhook[];
  readonly #stopping = new AbortController();
  /** With their tenants. */
  readonly #underWay = new Map<Promise<void>, string>();

  constructor(deps: Deps, options: WebhookOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#signers = options.secrets.map((secret) => new Webhook(secret));
  }

  /** Takes what is due, as far as there is room, and does not wait for it. Returns how many. */
  async runOnce(): Promise<number> {
    const room = underWayMax - this.#underWay.size;
    if (room === 0) return 0;
    const due = await takeDeliveries(this.#deps.db, {
      limit: room,
      holdSeconds,
      without: this.#busyTenants(),
      inside: (this.#options.inside ?? null) !== null,
      outside: this.#options.outside ?? true,
      perTenantMax: underWayOfTenantMax,
    });
    for (const delivery of due) {
      const sending = this.#send(delivery).finally(() => this.#underWay.delete(sending));
      this.#underWay.set(sending, delivery.tenant);
    }
    return due.length;
  }

  /** Those with any under way: what they have now and what is taken is then bounded. */
  #busyTenants(): string[] {
    return [...new Set(this.#underWay.values())];
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay.keys());
  }

  /** What is under way is broken off, and sent again by the next sender. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the sender stops"));
    await this.settled();
  }

  /** Never rejects. */
  async #send(delivery: DueDelivery): Promise<void> {
    const { db, log, metrics } = this.#deps;
    const { delivery_id: deliveryId, attempts, run_id } = delivery;
    try {
      const content = one(await deliveryContent(db, { deliveryId }));
      if (content === undefined) return;
      const failure = await this.#attempt(delivery, content);
      if (failure === null) {
        await delivered(db, { deliveryId });
        metrics.webhooks.inc({ outcome: "delivered" });
        return;
      }
      if (this.#stopping.signal.aborted) return;
      const error = storable(failure.error, errorCharsMax);
      const told = { deliveryId, attempt: attempts, error, waitSeconds: failure.waitSeconds };
      const row = one(await notDelivered(db, told));
      const outcome = row === "dead" ? "dead" : "failed";
      metrics.webhooks.inc({ outcome });
      if (outcome === "dead") log.warn({ delivery_id: deliveryId, run_id, error }, "a webhook is given up");
    } catch (error) {
      // The row is still due, later: it will be sent again.
      log.warn({ error, delivery_id: deliveryId, run_id }, "what became of a webhook could not be stored");
    }
  }

  /** Null when it was taken; else what was wrong and how long to wait, null where waiting does not help. */
  async #attempt(
    delivery: DueDelivery,
    content: Content,
  ): Promise<{ error: string; waitSeconds: number | null } | null> {
    const wait = waitSeconds[delivery.attempts - 1] ?? null;
    if (delivery.attempts > attemptsMax)
      return { error: "its senders died each time they had it in hand", waitSeconds: null };
    const body = bodyOf(content, this.#deps.now());
    try {
      const answer = await this.#post(delivery, content, body);
      if (answer.status >= 200 && answer.status < 300) return null;
      return { error: `answered ${answer.status}`, waitSeconds: this.#waitAfter(answer, wait) };
    } catch (error) {
      const { message } = error as Error;
      return { error: message, waitSeconds: error instanceof AddressRefused ? null : wait };
    }
  }

  #post({ url, delivery_id: id, tenant }: DueDelivery, { run }: Content, body: string): Promise<Answer> {
    const { inside, allowPrivate } = this.#options;
    const headers = this.#headers(id, body);
    const { signal } = this.#stopping;
    if (!url.startsWith("/") || !inside) return post(url, { body, headers, allowPrivate, signal });
    const { kwargs } = run as { kwargs?: RunKwargs };
    const posted = inside({
      path: url,
      headers,
      body,
      tenant,
      configurable: kwargs?.config?.configurable ?? {},
    });
    return within(posted, signal);
  }

  #waitAfter({ status, header }: Answer, wait: number | null): number | null {
    if (status === gone || wait === null) return null;
    return Math.max(wait, (retryAfterMs(header, this.#deps.now().getTime()) ?? 0) / 1_000);
  }

  #headers(id: string, body: string): Record<string, string> {
    const at = this.#deps.now();
    const signature = this.#signers.map((signer) => signer.sign(id, at, body)).join(" ");
    return {
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(body)),
      "user-agent": "holdfast",
      "webhook-id": id,
      "webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
      ...(signature === "" ? {} : { "webhook-signature": signature }),
    };
  }
}

type Content = Pick<DeliveryRow, "run" | "output">;

/** As the Agent Server sends it: the run, its times, the thread's values, and the error of a run that failed. */
function bodyOf({ run, output }: Content, now: Date): string {
  const { error, kwargs, ...told } = run;
  const head = JSON.stringify({
    ...told,
    kwargs: withoutUser((kwargs ?? {}) as object),
    webhook_sent_at: now.toISOString(),
    ...(error === null ? {} : { error }),
  });
  // The values are stored as JSON already, and may be large.
  return `${head.slice(0, -1)},"values":${output ?? "null"}}`;
}
