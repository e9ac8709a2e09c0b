// npm run fuzz -- --requests 20000 --seed 1: exits with 1 when an answer was not what the document says, or when of many
// requests none was let in by some operation.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { startEmbeddedPostgres } from "../../src/db/embedded.ts";
import { migrate } from "../../src/db/migrate.ts";
import { type FuzzReport, runFuzz, succeeded } from "./fuzz.ts";

/** With so many every operation is asked about thirty times at least. */
const enoughRequests = 10_000;
/** Without a socket, as here, it can only say that it needs one. */
const neverIn = "openThreadSocket";

const { values } = parseArgs({ options: { requests: { type: "string" }, seed: { type: "string" } } });
const number = (given: string | undefined, otherwise: number): number => {
  const value = Number(given ?? otherwise);
  if (!Number.isInteger(value) || value < 0) throw new Error(`${given} is no number`);
  return value;
};

async function onPostgresOfItsOwn(): Promise<FuzzReport> {
  const folder = await mkdtemp(path.join(tmpdir(), "holdfast-fuzz-"));
  const dataDir = path.join(folder, "postgres");
  const postgres = await startEmbeddedPostgres({ dataDir, log: { info: () => {} }, stopOnExit: true });
  try {
    await migrate(postgres.url);
    const seed = number(values.seed, Date.now() % 1_000_000);
    return await runFuzz({ url: postgres.url, requests: number(values.requests, 20_000), seed });
  } finally {
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The operations that were let in least come first. */
function linesOf(answers: FuzzReport["answers"]): string[] {
  const rows = Object.entries(answers).map(([id, counts]) => {
    const asked = Object.values(counts).reduce((sum, count) => sum + count, 0);
    return { id, counts, good: succeeded(counts), asked };
  });
  rows.sort((a, b) => a.good / Math.max(1, a.asked) - b.good / Math.max(1, b.asked));
  return rows.map(({ id, counts, good, asked }) => `${id}: ${good} of ${asked} ${JSON.stringify(counts)}`);
}

const { faults, seconds, answers, ...report } = await onPostgresOfItsOwn();
for (const line of linesOf(answers)) console.log(line);
for (const fault of faults) console.log(fault);
console.log(JSON.stringify(report));
console.log(
  `${report.requests} requests in ${seconds.toFixed(0)} s, ${report.unreached.length} operations never succeeded, ${faults.length} faults (seed ${report.seed})`,
);
const shut = report.requests >= enoughRequests && report.unreached.some((id) => id !== neverIn);
process.exitCode = faults.length === 0 && !shut ? 0 : 1;
