/** All benches, one after the other: npm run bench. Judge by the ratios: each is measured within one run. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { cpus, platform, release, totalmem } from "node:os";
import path from "node:path";

const secondsMax = 420;
/** Of `npm start`, for what a bench runs in its own process, Holdfast's and others'. */
const asStarted = ["--max-semi-space-size=64"];
const benches = ["steps", "runs", "conversation", "claim", "workers", "streams"];

function heading(): string {
  const [cpu] = cpus();
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${new Date().toISOString()}, ${cpus().length} x ${cpu?.model}, ${memory}, ${platform()} ${release()}, Node ${process.version}`;
}

/** True when it ended well. One that takes too long is ended, and so is what it started. */
async function run(file: string): Promise<boolean> {
  const child = spawn(
    process.execPath,
    [...asStarted, "--conditions=holdfast-source", "--import", "tsx", file],
    {
      stdio: "inherit",
      detached: true,
    },
  );
  const timer = setTimeout(() => {
    console.log(`  ended after ${secondsMax} s`);
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  }, secondsMax * 1_000);
  const [code] = (await once(child, "exit")) as [number | null];
  clearTimeout(timer);
  return code === 0;
}

const only = process.argv.slice(2);
const failed: string[] = [];
console.log(heading());
for (const name of benches.filter((bench) => only.length === 0 || only.includes(bench))) {
  const file = path.join(import.meta.dirname, `${name}.ts`);
  if (!existsSync(file)) continue;
  console.log(`\n== ${name}`);
  if (!(await run(file))) failed.push(name);
}
if (failed.length > 0) {
  console.log(`\nnot finished: ${failed.join(", ")}`);
  process.exitCode = 1;
}
