import { Agent, type ClientRequest, type IncomingMessage, request } from "node:http";

const agent = new Agent({ keepAlive: true, maxSockets: 4_096 });

/** The time of day, in milliseconds with their fraction: to be compared with other processes on this machine. */
export const timeOfDay = (): number => performance.timeOrigin + performance.now();

export interface Streamed {
  sentAt: number;
  firstAt: number;
  endedAt: number;
  text: string;
}

/** Sends a run and reads its stream to the end. */
export async function streamed(url: string, body: unknown): Promise<Streamed> {
  const sentAt = timeOfDay();
  const answer = await opened(url, { method: "POST", body });
  let firstAt = 0;
  let text = "";
  for await (const chunk of answer) {
    if (firstAt === 0) firstAt = timeOfDay();
    text += String(chunk);
  }
  return { sentAt, firstAt, endedAt: timeOfDay(), text };
}

export interface Idle {
  leave(): void;
}

/** A stream whose bytes are thrown away, or, where it does not read, left in the socket. */
export async function idle(url: string, { reads }: { reads: boolean }): Promise<Idle> {
  const answer = await opened(url, { method: "GET" });
  answer.on("error", () => undefined);
  if (reads) answer.resume();
  return { leave: () => answer.destroy() };
}

function opened(url: string, { method, body }: { method: string; body?: unknown }): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json" };
    const sent: ClientRequest = request(url, { method, agent, headers }, (answer) => {
      if (answer.statusCode === 200) resolve(answer);
      else reject(new Error(`${url} answered ${answer.statusCode}`));
    });
    sent.on("error", (error: NodeJS.ErrnoException) => {
      // The server had closed the kept connection a moment before: nothing was sent.
      if (sent.reusedSocket && error.code === "ECONNRESET")
        opened(url, { method, body }).then(resolve, reject);
      else reject(error);
    });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
