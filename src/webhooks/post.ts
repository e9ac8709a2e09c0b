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
  const limit = AbortSignal.any([signal, AbortSignal.timeout(attemptMillisMax)]);
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    const request = (secure ? https : http).request(
      url,
      { method: "POST", headers, agent, signal: limit },
      resolve,
    );
    request.on("error", (error) => reject(limit.aborted ? late(limit) : refusal(error)));
    request.end(body);
  });
  await readOut(response);
  const { statusCode = 0, headers: told } = response;
  return { status: statusCode, header: (name) => told[name]?.toString() };
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

const late = ({ reason }: AbortSignal): Error =>
  (reason as Error).name === "TimeoutError"
    ? new Error(`no answer within ${attemptMillisMax} ms`)
    : (reason as Error);

const refusal = (error: Error): Error =>
  / is not allowed\. Because/.test(error.message) ? new AddressRefused(error.message) : error;
