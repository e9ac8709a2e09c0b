import { connect, type Socket } from "node:net";
import {
  commandTag,
  endsWithReady,
  type Frame,
  FrameReader,
  openingOf,
  readyStatus,
  StatementReader,
} from "./postgres-wire.ts";

export interface Statement {
  sql: string;
  /** The statements of the open transaction before this one, oldest first. */
  transaction: readonly string[];
}

export type Direction = "toServer" | "toClient";

/** How a link treats bytes now; read at each message, so a change holds for open links too. */
export interface Weather {
  delayMs: number;
  drop: boolean;
  stalled: ReadonlySet<Direction>;
}

export interface LinkEvents {
  weather(): Weather;
  /** Decides about a statement before it is forwarded. */
  statement(statement: Statement): "forward" | "cut-before" | "cut-after";
  cut(report: { sql: string; tags: readonly string[]; failed: boolean; sent: boolean }): void;
  dropped(bytes: number): void;
  closed(): void;
}

const transactionStatementsMax = 1_000;
const queuedBytesMax = 8_000_000;

/** One client connection and the server connection behind it. */
export class PostgresLink {
  private readonly client: Socket;
  private readonly events: LinkEvents;
  private readonly server: Socket;
  private readonly fromClient = new FrameReader({ opening: true });
  private readonly fromServer = new FrameReader({ opening: false });
  private readonly statements = new StatementReader();
  private readonly lanes: Record<Direction, Lane>;
  private transaction: string[] = [];
  private repliesDue = 0;
  private repliesSeen = 0;
  private pendingCut: { sql: string; atReply: number; tags: string[]; failed: boolean } | undefined;
  private lost = false;
  private over = false;

  constructor(client: Socket, target: { host: string; port: number }, events: LinkEvents) {
    this.client = client;
    this.events = events;
    this.server = connect(
      target.host.startsWith("/")
        ? { path: `${target.host}/.s.PGSQL.${target.port}`, allowHalfOpen: true }
        : { ...target, allowHalfOpen: true },
    );
    this.lanes = {
      toServer: new Lane(this.client, this.server),
      toClient: new Lane(this.server, this.client),
    };
    client.on("data", (bytes: Buffer) => this.guard(() => this.clientSaid(bytes)));
    this.server.on("data", (bytes: Buffer) => this.guard(() => this.serverSaid(bytes)));
    for (const [from, direction] of [
      [client, "toServer"],
      [this.server, "toClient"],
    ] as const) {
      from.setNoDelay(true);
      from.on("end", () => this.ended(direction));
      from.on("error", () => this.broken());
      from.on("close", () => this.broken());
    }
  }

  /** Whether bytes of this link were thrown away: it can never work again. */
  get lostBytes(): boolean {
    return this.lost;
  }

  /** Resets both sides. */
  reset(): void {
    this.finish();
    this.client.resetAndDestroy();
    this.server.resetAndDestroy();
  }

  /** Lets what a stall held go on. */
  release(): void {
    for (const lane of Object.values(this.lanes)) lane.release();
  }

  private clientSaid(bytes: Buffer): void {
    for (const frame of this.fromClient.read(bytes)) {
      if (this.over) return;
      if (this.thrownAway(frame)) continue;
      if (frame.type === "" && !this.opened(frame)) continue;
      if (!this.allowed(frame)) return;
      if (endsWithReady(frame)) this.repliesDue++;
      this.pass("toServer", frame);
    }
  }

  /** False where the opening message is answered here: TLS is refused, so that the rest can be read. */
  private opened(frame: Frame): boolean {
    if (openingOf(frame) === "ssl") {
      this.client.write("N");
      return false;
    }
    this.fromClient.typed();
    return true;
  }

  private allowed(frame: Frame): boolean {
    const sql = this.statements.statementOf(frame);
    if (sql === undefined) return true;
    const verdict = this.events.statement({ sql, transaction: this.transaction });
    if (verdict === "cut-before") {
      this.events.cut({ sql, tags: [], failed: false, sent: false });
      this.reset();
      return false;
    }
    if (this.transaction.length < transactionStatementsMax) this.transaction.push(sql);
    if (verdict === "cut-after")
      this.pendingCut = { sql, atReply: this.repliesDue + 1, tags: [], failed: false };
    return true;
  }

  private serverSaid(bytes: Buffer): void {
    for (const frame of this.fromServer.read(bytes)) {
      if (this.over) return;
      if (this.thrownAway(frame)) continue;
      const swallowed = this.pendingCut !== undefined && this.repliesSeen >= this.pendingCut.atReply - 1;
      const status = readyStatus(frame);
      if (status !== undefined) this.repliesSeen++;
      if (status === "I") this.transaction = [];
      if (!swallowed) {
        this.pass("toClient", frame);
        continue;
      }
      this.swallow(frame, status !== undefined);
    }
  }

  /** The server has answered and the client never hears of it. */
  private swallow(frame: Frame, last: boolean): void {
    const cut = this.pendingCut;
    if (cut === undefined) return;
    const tag = commandTag(frame);
    if (tag !== undefined) cut.tags.push(tag);
    if (frame.type === "E") cut.failed = true;
    if (!last) return;
    this.events.cut({ sql: cut.sql, tags: cut.tags, failed: cut.failed, sent: true });
    this.reset();
  }

  private thrownAway(frame: Frame): boolean {
    if (!this.events.weather().drop && !this.lost) return false;
    this.lost = true;
    this.events.dropped(frame.bytes.length);
    return true;
  }

  private pass(direction: Direction, frame: Frame): void {
    const { delayMs, stalled } = this.events.weather();
    this.lanes[direction].push(frame.bytes, delayMs, stalled.has(direction));
  }

  private ended(direction: Direction): void {
    // A half-open link carries no goodbye either: the other side must find out by its own means.
    if (this.over || this.lost || this.events.weather().drop) {
      this.lost = true;
      return;
    }
    this.lanes[direction].end(this.events.weather().delayMs);
  }

  private broken(): void {
    if (this.over || this.lost || this.events.weather().drop) {
      this.lost = true;
      return;
    }
    this.finish();
    this.client.destroy();
    // The last words (Terminate) may still be under way.
    if (this.server.writableEnded) this.server.destroySoon();
    else this.server.destroy();
  }

  private finish(): void {
    if (this.over) return;
    this.over = true;
    for (const lane of Object.values(this.lanes)) lane.stop();
    this.events.closed();
  }

  private guard(work: () => void): void {
    try {
      work();
    } catch {
      this.reset();
    }
  }
}

/** One direction of a link: keeps the order while it delays or holds. */
class Lane {
  private readonly from: Socket;
  private readonly to: Socket;
  private queue: { bytes: Buffer | "end"; dueAt: number }[] = [];
  private queuedBytes = 0;
  private held = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket) {
    this.from = from;
    this.to = to;
  }

  push(bytes: Buffer, delayMs: number, held: boolean): void {
    this.held ||= held;
    this.queuedBytes += bytes.length;
    if (this.queuedBytes > queuedBytesMax) this.from.pause();
    this.queue.push({ bytes, dueAt: performance.now() + delayMs });
    this.drain();
  }

  end(delayMs: number): void {
    this.queue.push({ bytes: "end", dueAt: performance.now() + delayMs });
    this.drain();
  }

  release(): void {
    this.held = false;
    this.drain();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.queue = [];
  }

  private drain(): void {
    clearTimeout(this.timer);
    for (let first = this.queue[0]; first !== undefined && !this.held; first = this.queue[0]) {
      const early = first.dueAt - performance.now();
      if (early > 0) {
        this.timer = setTimeout(() => this.drain(), Math.ceil(early));
        return;
      }
      this.queue.shift();
      if (first.bytes === "end") {
        this.to.end();
        continue;
      }
      this.queuedBytes -= first.bytes.length;
      if (this.to.writable && !this.to.write(first.bytes)) this.pauseUntilDrained();
      else if (this.queuedBytes <= queuedBytesMax) this.from.resume();
    }
  }

  private pauseUntilDrained(): void {
    this.from.pause();
    this.to.once("drain", () => this.from.resume());
  }
}
