/** As much of the Postgres protocol as a proxy needs to see statements and their ends. */

export interface Frame {
  /** The message's type byte as a character; empty for the untyped messages that open a connection. */
  type: string;
  bytes: Buffer;
}

const frameBytesMax = 64_000_000;

const sslRequest = 80877103;
const gssRequest = 80877104;
const cancelRequest = 80877102;

export type Opening = "ssl" | "cancel" | "startup";

/** What the first message of a connection asks for. */
export function openingOf(frame: Frame): Opening {
  const code = frame.bytes.length >= 8 ? frame.bytes.readInt32BE(4) : 0;
  if (code === sslRequest || code === gssRequest) return "ssl";
  return code === cancelRequest ? "cancel" : "startup";
}

/** Cuts a byte stream into messages; keeps what is not whole yet. */
export class FrameReader {
  private rest: Buffer = Buffer.alloc(0);
  /** True until `typed()` is called: opening messages have no type byte. */
  private opening: boolean;

  constructor(options: { opening: boolean }) {
    this.opening = options.opening;
  }

  typed(): void {
    this.opening = false;
  }

  *read(bytes: Buffer): Generator<Frame> {
    this.rest = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes]);
    for (;;) {
      const head = this.opening ? 0 : 1;
      if (this.rest.length < head + 4) return;
      const length = this.rest.readInt32BE(head) + head;
      if (length < head + 4 || length > frameBytesMax)
        throw new Error(`not a Postgres message (${length} bytes)`);
      if (this.rest.length < length) return;
      const whole = this.rest.subarray(0, length);
      this.rest = this.rest.subarray(length);
      yield { type: head === 0 ? "" : String.fromCharCode(whole[0] ?? 0), bytes: whole };
    }
  }
}

/** Only tests with a leak prepare more. */
const preparedMax = 5_000;

/** The statement that a client message makes the server run, if any; remembers what was prepared. */
export class StatementReader {
  private readonly prepared = new Map<string, string>();

  statementOf(frame: Frame): string | undefined {
    const body = frame.bytes.subarray(5);
    if (frame.type === "Q") return text(body, 0).value;
    if (frame.type === "P") {
      const name = text(body, 0);
      if (this.prepared.size >= preparedMax) this.prepared.clear();
      this.prepared.set(name.value, text(body, name.next).value);
      return undefined;
    }
    if (frame.type === "B") return this.prepared.get(text(body, text(body, 0).next).value);
    return undefined;
  }
}

/** Whether the server will answer this client message with a ReadyForQuery. */
export const endsWithReady = (frame: Frame): boolean => ["", "Q", "S", "F"].includes(frame.type);

/** The status byte of a ReadyForQuery: `I` idle, `T` in a transaction, `E` in a failed one. */
export const readyStatus = (frame: Frame): string | undefined =>
  frame.type === "Z" ? String.fromCharCode(frame.bytes[5] ?? 0) : undefined;

/** The tag of a CommandComplete: `INSERT 0 1`, `COMMIT`. A COMMIT of a failed transaction says `ROLLBACK`. */
export const commandTag = (frame: Frame): string | undefined =>
  frame.type === "C" ? text(frame.bytes, 5).value : undefined;

function text(bytes: Buffer, from: number): { value: string; next: number } {
  const end = bytes.indexOf(0, from);
  const stop = end < 0 ? bytes.length : end;
  return { value: bytes.toString("utf8", from, stop), next: stop + 1 };
}
