// npm run chaos -- --runs 10000 --seed 1: exits with 1 when a promise was broken.
import { parseArgs } from "node:util";
import { chaosDefaults, runChaos } from "./chaos.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string" },
    seed: { type: "string" },
    "kill-millis": { type: "string" },
    "postgres-millis": { type: "string" },
    "kills-max": { type: "string" },
    "postgres-crashes-max": { type: "string" },
    "model-fault-rate": { type: "string" },
    "seconds-max": { type: "string" },
    "kills-min": { type: "string" },
  },
});
const number = (given: string | undefined, otherwise: number): number => {
  const value = given === undefined ? otherwise : Number(given);
  if (Number.isNaN(value) || value < 0) throw new Error(`${given} is no number`);
  return value;
};
const runs = number(values.runs, chaosDefaults.runs);
const killsMax = number(values["kills-max"], chaosDefaults.killsMax);
/** A kill for every ten runs, so that 10,000 of them see the 1,000 that the promise names. */
const killsMin = number(values["kills-min"], Math.min(killsMax, runs / 10));

const stopped = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => stopped.abort());

const report = await runChaos({
  runs,
  seed: number(values.seed, chaosDefaults.seed),
  killMillis: number(values["kill-millis"], chaosDefaults.killMillis),
  postgresMillis: number(values["postgres-millis"], chaosDefaults.postgresMillis),
  killsMax,
  postgresCrashesMax: number(values["postgres-crashes-max"], chaosDefaults.postgresCrashesMax),
  modelFaultRate: number(values["model-fault-rate"], chaosDefaults.modelFaultRate),
  secondsMax: number(values["seconds-max"], chaosDefaults.secondsMax),
  say: (line) => console.log(line),
  signal: stopped.signal,
});
const { violations, ...counts } = report;
if (report.kills < killsMin) violations.push(`${report.kills} kills, fewer than ${killsMin}`);
console.log(JSON.stringify(counts, null, 2));
console.log(`${(report.runs / Math.max(1, report.seconds)).toFixed(1)} runs/s`);
for (const violation of violations.slice(0, 50)) console.log(violation);
console.log(`${violations.length} violations`);
process.exitCode = violations.length === 0 ? 0 : 1;
