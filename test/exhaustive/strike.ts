import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Database } from "../../src/db/pool.ts";
import { isDatabaseAway } from "../../src/domain/classify.ts";
import { reapOnce } from "../../src/queue/reaper.ts";
import { type EffectLine, judgeEffects } from "../support/effect-log.ts";
import { expireLeases } from "../support/factory.ts";
import type { HoldfastProcess } from "../support/holdfast-process.ts";
import { resultViolations, violations } from "../support/invariants.ts";
import { type PostgresProxy, type Statement, startPostgresProxy } from "../support/postgres-proxy.ts";
import { playScene } from "./play.ts";
import type { Scene } from "./scene.ts";
import {
  finish,
  finishWith,
  openPerformance,
  overHttp,
  type Performance,
  type Program,
  type Stage,
} from "./stage.ts";

/**
 * What is done at a boundary. `cut` resets the link before the next statement is sent; `execute-then-fail` after the
 * server has carried it out, and before its answer.
 */
export const actions = ["SIGKILL", "SIGSTOP", "throw", "hang", "cut", "execute-then-fail"] as const;
export type Action = (typeof actions)[number];

const lookMillis = 20;
const traceMillisMax = 1_000;
/** After SIGCONT a zombie gets this long to do harm, or to say that it has lost its lease. */
const zombieMillisMax = 3_000;
/** What it sent before it said so has arrived by then. */
const zombieMillis = 300;

/** Every boundary that a play of this scene passes, in order, as the program itself records them. */
export async function recordBoundaries(stage: Stage, scene: Scene): Promise<string[]> {
  const performance = await openPerformance(stage, scene);
  const record = path.join(stage.folder, randomUUID());
  const victim = await stage.startVictim(performance.database.url, { record });
  try {
    const never = new AbortController().signal;
    await playScene(performance, overHttp(victim, never), never);
    const broken = await verdict(performance, { victimEndedRun: false, inHand: noCalls });
    if (broken.length > 0) throw new Error(`${scene.name} without any fault:\n${broken.join("\n")}`);
    return (await readFile(record, "utf8")).trim().split("\n");
  } finally {
    await victim.end();
    await performance.close();
  }
}

export interface Blow {
  boundary: string;
  action: Action;
  /** The program that is struck, where it is not the build of this repository. */
  victim?: Program;
  /** The program that finishes; a runtime of this process where nothing is said. */
  heir?: Program;
}

export interface Struck {
  /** False when the play went past without this boundary (parallel calls may share a write, or not), or when no statement was left to cut. */
  reached: boolean;
  violations: string[];
}

/** Does `action` at a boundary of the victim, lets a second worker finish, and checks everything. */
export async function strike(
  stage: Stage,
  scene: Scene,
  { boundary, action, victim: struckProgram, heir }: Blow,
): Promise<Struck> {
  const performance = await openPerformance(stage, scene);
  const [name = "", nth] = boundary.split("#");
  const record = path.join(stage.folder, randomUUID());
  const linked = action === "cut" || action === "execute-then-fail";
  const at = { name, nth: Number(nth), action: linked ? "SIGSTOP" : action };
  const proxy = linked ? await proxyBefore(performance.database.url) : undefined;
  const url = proxy?.url(performance.database.url) ?? performance.database.url;
  const victim = await stage.startVictim(url, { record, at }, struckProgram);
  const struck = new AbortController();
  const playing = playScene(performance, overHttp(victim, struck.signal), struck.signal).then(
    () => true,
    () => false,
  );
  try {
    const told = untilStruck(victim, { record, boundary, action: at.action });
    // A play may end, or fail, in the moment of the blow: its trace comes a little later.
    const over = playing.then(() => Promise.race([told, sleep(traceMillisMax, false)]));
    const reached = await Promise.race([told, over]);
    const inHand =
      action === "SIGSTOP" ? await callsInHand(performance, await recorded(record), name) : noCalls;
    await after({ stage, performance, victim, action, proxy, playing, struck, reached, heir });
    const broken = await verdict(performance, { victimEndedRun: action === "throw", inHand });
    const hit = reached && (proxy === undefined || proxy.counters.cuts > 0);
    return { reached: hit, violations: broken.map((line) => `${scene.name} ${boundary} ${action}: ${line}`) };
  } catch (error) {
    const message = `${scene.name} ${boundary} ${action}: ${(error as Error).message}`;
    return { reached: true, violations: [message] };
  } finally {
    struck.abort();
    await victim.end();
    await playing;
    await proxy?.stop();
    await performance.close();
  }
}

interface Aftermath {
  stage: Stage;
  heir: Program | undefined;
  performance: Performance;
  victim: HoldfastProcess;
  action: Action;
  proxy: PostgresProxy | undefined;
  playing: Promise<boolean>;
  struck: AbortController;
  reached: boolean;
}

/** From the blow to the end of the scene. */
async function after(aftermath: Aftermath): Promise<void> {
  const { stage, performance, victim, action, proxy, playing, struck, reached, heir } = aftermath;
  if (proxy !== undefined && reached) await cutNext(proxy, victim, action);
  // Thrown or cut, the victim lives: it may get to the end by itself, and the second worker takes what is left.
  if (action === "throw" || proxy !== undefined) await Promise.race([playing, sleep(livingMillisMax)]);
  struck.abort();
  if (action !== "SIGSTOP" && action !== "hang") await victim.end();
  await takeFromVictim(performance);
  await (heir === undefined ? finish(performance) : finishWith(stage, performance, heir));
  if (action !== "SIGSTOP") return;
  victim.kill("SIGCONT");
  const deadline = Date.now() + zombieMillisMax;
  while (Date.now() < deadline && !hasLostLease(victim)) await sleep(lookMillis);
  await sleep(zombieMillis);
}

/**
 * Its leases run out and its runs are queued again. In one transaction, for a victim that only hangs renews its leases;
 * what was stopped in a transaction keeps its rows locked until Postgres ends its session.
 */
async function takeFromVictim({ runtime: { db, bus } }: Performance): Promise<void> {
  const deadline = Date.now() + lockedMillisMax;
  for (;;) {
    try {
      return await db.transaction(async (tx) => {
        const within: Database = { ...db, query: tx.query, transaction: (work) => work(tx) };
        await expireLeases(within);
        await reapOnce({ db: within, bus }, { graceSeconds: 0, ignoreRestart: true });
      });
    } catch (error) {
      if (!isDatabaseAway(error) || Date.now() > deadline) throw error;
    }
  }
}

const lockedMillisMax = 60_000;

const hasLostLease = ({ lines }: HoldfastProcess): boolean =>
  lines.some(({ msg }) => String(msg).includes("lease lost"));

/** A victim that was only thrown at, or cut off, gets this long before the second worker comes. */
const livingMillisMax = 1_500;

async function cutNext(proxy: PostgresProxy, victim: HoldfastProcess, action: Action): Promise<void> {
  if (action === "cut") void proxy.cutBeforeSend(isOfARun);
  else void proxy.cutAfterServerCommit(isOfARun);
  victim.kill("SIGCONT");
}

/** Statements on a run's path, by name. What workers send at any time says nothing about the boundary. */
const ofARun =
  /^\/\* (?!effect\.(prune|count_unclear))(checkpoint|compensation|effect|escalation|events|model_call|run|settle|thread)\./;
const ofHousekeeping = /^\/\* (escalation\.expired|run\.depth|thread\.(busy|count|expired_temporary)) /;
const isNamedOfARun = (sql: string): boolean => ofARun.test(sql) && !ofHousekeeping.test(sql);

const isOfARun = ({ sql, transaction }: Statement): boolean =>
  isNamedOfARun(sql) || (/^commit/i.test(sql) && transaction.some(isNamedOfARun));

async function proxyBefore(databaseUrl: string): Promise<PostgresProxy> {
  const { hostname, port } = new URL(databaseUrl);
  return startPostgresProxy({ host: hostname, port: Number(port) });
}

/** Dead, stopped, or (for what leaves no trace outside) recorded by the victim itself. */
async function untilStruck(
  victim: HoldfastProcess,
  { record, boundary, action }: { record: string; boundary: string; action: string },
): Promise<boolean> {
  if (action === "SIGKILL") return victim.exited.then(() => true);
  const deadline = Date.now() + struckMillisMax;
  while (Date.now() < deadline) {
    if (action === "SIGSTOP" ? await isStopped(victim) : (await recorded(record)).includes(boundary))
      return true;
    await sleep(lookMillis);
  }
  return false;
}

const struckMillisMax = 30_000;

const recorded = async (record: string): Promise<string[]> =>
  (await readFile(record, "utf8").catch(() => "")).split("\n");

const isStopped = async ({ pid }: HoldfastProcess): Promise<boolean> =>
  /\) T /.test(await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ""));

/** Calls whose requests a stopped process may have sent, or be about to send. */
interface InHand {
  count: number;
  tools: ReadonlySet<string>;
}
const noCalls: InHand = { count: 0, tools: new Set() };

/**
 * Calls that beside the boundary had passed their fence and were not answered. The request of a stopped process may
 * not have left it: nobody can take it back, and where the key does not protect it may come after the look-up.
 */
async function callsInHand({ db }: Performance, hits: readonly string[], boundary: string): Promise<InHand> {
  const count = (name: string): number => hits.filter((hit) => hit.startsWith(`${name}#`)).length;
  const behindIt = boundary === "effect.dispatched" ? 1 : 0;
  const { rows } = await db.query({
    text: "select tool from holdfast.effects where state = 'dispatched'",
    values: [],
  });
  return {
    count: count("effect.dispatched") - count("effect.performed") - count("effect.unknown") - behindIt,
    tools: new Set(rows.map(({ tool }) => String(tool))),
  };
}

/** What a play comes to without an error thrown into it; `no_seats` is the saga's own. */
const ordinaryEnds = new Set(["success", "interrupted", "no_seats", "compensation_stuck"]);

/** All invariants, I6 and I7 at the sink's own log. An error thrown at a boundary may end the run early. */
async function verdict(
  { db, acknowledged, scene, about, sink }: Performance,
  { victimEndedRun, inHand }: { victimEndedRun: boolean; inHand: InHand },
): Promise<string[]> {
  const log = (await sink.lines()).filter((line) => line.about === about);
  const { rows } = await db.query({
    text: "select distinct coalesce(error->>'code', status) as end from holdfast.runs order by 1",
    values: [],
  });
  const ends = rows.map(({ end }) => String(end));
  const cutShort = victimEndedRun && ends.some((end) => !ordinaryEnds.has(end));
  const asked = scene.expected(about).map((call) => (cutShort ? { ...call, least: 0 } : call));
  const expected = asked.map((call) =>
    inHand.count > 0 && inHand.tools.has(call.tool) && scene.unkeyed?.includes(call.tool)
      ? { ...call, most: call.most + 1 }
      : call,
  );
  const repeated = asked.filter(({ tool, most }) => commitsOf(log, tool) > most).length;
  const broken = [
    ...(await violations(db, [...acknowledged])),
    ...judgeEffects(log, expected),
    ...(await resultViolations(db, log)),
    ...(scene.judge?.(log) ?? []),
    ...(repeated > inHand.count ? [`${repeated} calls were repeated, and ${inHand.count} were in hand`] : []),
  ];
  return broken.length > 0 ? [...broken, `the runs ended as ${ends.join(", ")}`] : [];
}

const commitsOf = (log: readonly EffectLine[], tool: string): number =>
  log.filter((line) => line.tool === tool && line.what === "committed").length;
