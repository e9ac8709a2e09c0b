import { createServer } from "node:http";

export const steps = [1, 2, 3, 4, 5];
/** Two hundred bytes, as each step of the graph adds. */
export const stepText = (n) => `${n}`.repeat(200);
export const concurrency = Number(process.env.BENCH_AT ?? 64);

/** Starts a run for every request and answers with what it gave. Says where it listens on its standard output. */
export function serveRuns(run) {
  const server = createServer((request, response) => {
    request.resume();
    request.on("end", () => {
      run().then(
        (log) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ log })),
        (error) => response.writeHead(500).end(String(error?.stack ?? error)),
      );
    });
  });
  server.listen(0, "127.0.0.1", () => process.stdout.write(`up http://127.0.0.1:${server.address().port}\n`));
}
