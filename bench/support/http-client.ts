import { Agent, request } from "node:http";

const agent = new Agent({ keepAlive: true, maxSockets: 512 });

/** A request with a JSON body; the answer's text. Rejects what is no 2xx. Cheaper than fetch, which would be measured too. */
export function post(url: string, body: unknown): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      { method: "POST", agent, headers: { "content-type": "application/json" } },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          if ((answer.statusCode ?? 500) < 300) resolve(text);
          else reject(new Error(`${url} answered ${answer.statusCode}: ${text}`));
        });
        answer.on("error", reject);
      },
    );
    sent.on("error", (error: NodeJS.ErrnoException) => {
      // The server had closed the kept connection a moment before: nothing was sent.
      if (sent.reusedSocket && error.code === "ECONNRESET") post(url, body).then(resolve, reject);
      else reject(error);
    });
    sent.end(JSON.stringify(body));
  });
}
