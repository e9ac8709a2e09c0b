import http from "node:http";
import https from "node:https";
import { useAgent } from "request-filtering-agent";

const attemptMillisMax = 10_000;
/** What a receiver says is of no interest; it may finish saying so much. */
const answerBytesMax = 65_536;

/** The address is not one that may be asked: trying again does not help. */
export class AddressRefused extends Error {
  override readonly name = "AddressRefused";
}

export interface Answer {
  status: number;
  header(name: string): string | undefined;
}

export interface PostOptions {
  headers: Record<string, string>;
  body: string;
  /** Private and loopback addresses too, and plain http. */
  allowPrivate: boolean;
  signal: AbortSignal;
}

/**
 * One POST. The name is resolved once and the address that was checked is the one connected to; redirects are not
 * followed. Throws AddressRefused, or whatever ended the connection.
 */
export async function post(
  url: string,
  { headers, body, allowPrivate, signal }: PostOptions,
): Promise<Answer> {
  const secure = new URL(url).protocol === "https:";
  if (!secure && !allowPrivate) throw new AddressRefused("only https is called (WEBHOOK_PRIVATE)");
  const agent = useAgent(url, {
    allowPrivateIPAddress: allowPrivate,
    allowMetaIPAddress: allowPrivate,
  });
  const limit = limited(signal);
  try {
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const asking = { method: "POST", headers, agent, signal: limit.signal };
      const request = (secure ? https : http).request(url, asking, resolve);
      request.on("error", (error) => reject(limit.signal.aborted ? limit.signal.reason : refusal(error)));
      request.end(body);
    });
    await readOut(response);
    const { statusCode = 0, headers: told } = response;
    return { status: statusCode, header: (name) => told[name]?.toString() };
  } finally {
    limit.leave();
  }
}

/** Aborts with the outer signal, and when an attempt may take no longer. (AbortSignal.any may be collected with its timeout.) */
function limited(outer: AbortSignal): { signal: AbortSignal; leave(): void } {
  const controller = new AbortController();
  const stop = (): void => controller.abort(outer.reason);
  const late = setTimeout(
    () => controller.abort(new Error(`no answer within ${attemptMillisMax} ms`)),
    attemptMillisMax,
  );
  if (outer.aborted) stop();
  outer.addEventListener("abort", stop, { once: true });
  return {
    signal: controller.signal,
    leave() {
      clearTimeout(late);
      outer.removeEventListener("abort", stop);
    },
  };
}

/** What the promise gives, unless the signal or the limit of an attempt comes first. */
export async function within<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const limit = limited(signal);
  const late = new Promise<never>((_, reject) => {
    limit.signal.addEventListener("abort", () => reject(limit.signal.reason), { once: true });
  });
  return Promise.race([promise, late]).finally(() => limit.leave());
}

/** The status counts, also when the rest of the answer is too long, too slow or torn. */
async function readOut(response: http.IncomingMessage): Promise<void> {
  let bytes = 0;
  try {
    for await (const chunk of response) {
      bytes += (chunk as Buffer).length;
      if (bytes > answerBytesMax) return;
    }
  } catch {
    response.destroy();
  }
}

const refusal = (error: Error): Error =>
  / is not allowed\. Because/.test(error.message) ? new AddressRefused(error.message) : error;
