import { setTimeout as sleep } from "node:timers/promises";
import type { WebSocket } from "ws";
import { NotFound } from "../../domain/errors.ts";
import { newId } from "../../domain/ids.ts";
import { type Position, seqOf } from "../../domain/position.ts";
import { parseBody, parseInput } from "../body.ts";
import type { HttpDeps } from "../deps.ts";
import { follow } from "../following.ts";
import { guardIfThere } from "../guard.ts";
import {
  type Command,
  commandBody,
  type EventFilter,
  eventFilter,
  unsubscribeParams,
} from "../schemas/protocol.ts";
import { CommandRefused, commandError, commandErrorOf } from "./command.ts";
import { type Caller, handleCommand, metaOf } from "./commands.ts";
import { placeOf, wants } from "./filter.ts";
import type { Frame } from "./frame.ts";
import { type Stretch, Tape } from "./tape.ts";

const subscriptionsMax = 100;
/** Commands of one client that wait for their turn. */
const commandsMax = 64;
/** What a slow reader can hold of our memory, beside the page that is on its way. */
const bufferedBytesMax = 1024 * 1024;
/** A reader that takes nothing for this long is disconnected; it comes back with the id of its last event. */
const stallSecondsMax = 15;
const tryAgainLater = 1013;
const policyViolation = 1008;
const internalError = 1011;
const normal = 1000;

interface Subscription {
  filter: EventFilter;
  /** Nothing up to here is sent. */
  after: Position;
}

/**
 * A WebSocket on a thread: commands come in, their answers and the events of every subscription go out, in order. An
 * event that several subscriptions want is sent once, for the client hands it to each of them.
 */
export class ThreadSocket {
  readonly #deps: HttpDeps;
  readonly #caller: Caller;
  readonly #socket: WebSocket;
  readonly #gone = new AbortController();
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #beat: NodeJS.Timeout;
  readonly #onClose: () => void;
  #alive = true;
  /** Whether the thread is there, and the caller may see it. */
  #seen = false;
  /** Commands, replays and events go out one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #waiting = 0;
  /** Every event up to here has been sent to who wanted it; undefined before the first subscription. */
  #sentTo: Position | undefined;

  constructor(
    deps: HttpDeps,
    { caller, socket, onClose }: { caller: Caller; socket: WebSocket; onClose: () => void },
  ) {
    this.#deps = deps;
    this.#caller = caller;
    this.#socket = socket;
    this.#onClose = onClose;
    deps.metrics.sseClients.inc();
    socket.on("pong", () => {
      this.#alive = true;
    });
    this.#beat = setInterval(() => this.#ping(), deps.config.heartbeatSeconds * 1000);
  }

  receive(text: string): void {
    if (this.#waiting >= commandsMax) {
      this.#socket.close(policyViolation, "too many commands at once");
      return;
    }
    this.#waiting += 1;
    this.#inTurn(() =>
      this.#answer(text).finally(() => {
        this.#waiting -= 1;
      }),
    );
  }

  close(): void {
    if (this.#gone.signal.aborted) return;
    this.#gone.abort();
    clearInterval(this.#beat);
    this.#deps.metrics.sseClients.dec();
    this.#onClose();
  }

  /** A link that went dead without a word is found by the ping that nobody answers. */
  #ping(): void {
    if (this.#alive) this.#socket.ping();
    else this.#socket.terminate();
    this.#alive = false;
  }

  #inTurn(work: () => Promise<void>): void {
    this.#turn = this.#turn
      .then(() => (this.#gone.signal.aborted ? undefined : work()))
      .catch((error: unknown) => {
        this.#deps.log.error({ error, thread_id: this.#caller.threadId }, "a thread's socket failed");
        this.#socket.close(internalError, "Internal Server Error");
      });
  }

  async #answer(text: string): Promise<void> {
    let command: Command | undefined;
    try {
      command = parseInput(commandBody, parseBody(text));
      // The program's own auth may say no at any time, and to a thread that was made after the socket was opened.
      await guardIfThere(this.#deps, this.#caller.principal, this.#caller.threadId);
      if (command.method === "subscription.subscribe") return await this.#subscribe(command);
      if (command.method === "subscription.unsubscribe") return await this.#unsubscribe(command);
      await this.#send(await handleCommand(this.#deps, this.#caller, command));
    } catch (error) {
      await this.#send(this.#errorOf(command, error));
    }
  }

  #errorOf(command: Command | undefined, error: unknown) {
    if (command === undefined) return commandError(null, "invalid_argument", (error as Error).message);
    try {
      return commandErrorOf(this.#deps, command, error);
    } catch {
      return commandError(command.id, "unknown_error", "the database is away");
    }
  }

  /** The answer goes out before the events, so that the client knows whose they are. */
  async #subscribe({ id, params }: Command): Promise<void> {
    const filter = parseInput(eventFilter, params);
    if (this.#subscriptions.size >= subscriptionsMax)
      throw new CommandRefused("invalid_argument", `more than ${subscriptionsMax} subscriptions`);
    const { at, reset } = await placeOf(this.#deps, this.#thread, {
      id: filter.since_event_id,
      since: filter.since,
    });
    const subscription: Subscription = { filter, after: at };
    const subscription_id = newId();
    const result = { subscription_id, ...(reset === undefined ? {} : { reset }) };
    await this.#send({ type: "success", id, result, meta: await metaOf(this.#deps, this.#caller) });
    if (this.#sentTo === undefined) {
      this.#sentTo = at;
      this.#run(at).catch((error: unknown) => this.#inTurn(() => Promise.reject(error)));
    } else await this.#replay(subscription, this.#sentTo);
    this.#subscriptions.set(subscription_id, subscription);
  }

  async #unsubscribe({ id, params }: Command): Promise<void> {
    const { subscription_id } = parseInput(unsubscribeParams, params);
    if (!this.#subscriptions.delete(subscription_id))
      throw new CommandRefused("no_such_subscription", `Unknown subscription: ${subscription_id}`);
    await this.#send({ type: "success", id, result: {}, meta: await metaOf(this.#deps, this.#caller) });
  }

  get #thread() {
    return { threadId: this.#caller.threadId, tenant: this.#caller.principal.tenant };
  }

  /** What other subscriptions have got already. */
  async #replay(subscription: Subscription, upTo: Position): Promise<void> {
    const tape = new Tape(this.#deps, this.#thread, subscription.after);
    for (let reached = subscription.after; seqOf(reached) < seqOf(upTo); ) {
      const stretch = await tape.next();
      if (stretch === "away") {
        await sleep(this.#deps.config.pollMillis);
        continue;
      }
      if (stretch === "nothing" || stretch === "gone" || this.#gone.signal.aborted) return;
      reached = stretch.at;
      const frames = stretch.frames.filter(({ at }) => seqOf(at) <= seqOf(upTo));
      await this.#pass(frames, [subscription]);
    }
  }

  async #run(from: Position): Promise<void> {
    const { threadId } = this.#thread;
    const source = new Tape(this.#deps, this.#thread, from);
    for await (const piece of follow<Stretch>(this.#deps, { threadId, source }, this.#gone.signal)) {
      if (piece === "beat") continue;
      await this.#inTurn(async () => {
        if (!(await this.#maySee())) return;
        await this.#pass(piece.frames, [...this.#subscriptions.values()]);
        this.#sentTo = piece.at;
      });
    }
    if (!this.#gone.signal.aborted) this.#socket.close(normal, "the thread was deleted");
  }

  async #maySee(): Promise<boolean> {
    const { principal, threadId } = this.#caller;
    try {
      this.#seen ||= await guardIfThere(this.#deps, principal, threadId);
    } catch (error) {
      if (!(error instanceof NotFound)) throw error;
      this.#socket.close(policyViolation, error.message);
      this.close();
    }
    return this.#seen;
  }

  async #pass(frames: readonly Frame[], subscriptions: readonly Subscription[]): Promise<void> {
    for (const frame of frames) {
      const wanted = subscriptions.some(
        ({ filter, after }) => seqOf(frame.at) > seqOf(after) && wants(filter, frame),
      );
      if (wanted) await this.#sendText(frame.text);
    }
  }

  #send(message: unknown): Promise<void> {
    return this.#sendText(JSON.stringify(message));
  }

  /** Waits for a reader that is behind. */
  async #sendText(text: string): Promise<void> {
    if (this.#gone.signal.aborted) return;
    const sent = new Promise<"sent">((resolve) => this.#socket.send(text, () => resolve("sent")));
    if (this.#socket.bufferedAmount <= bufferedBytesMax) return;
    const over = new AbortController();
    const stalled = sleep(stallSecondsMax * 1000, "stalled" as const, { signal: over.signal }).catch(
      () => "sent" as const,
    );
    if ((await Promise.race([sent, stalled])) === "stalled") {
      this.#socket.close(tryAgainLater, `the reader took nothing for ${stallSecondsMax} s`);
      this.#socket.terminate();
    }
    over.abort();
  }
}
