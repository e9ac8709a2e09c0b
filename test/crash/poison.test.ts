import { execFileSync } from "node:child_process";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Bus, openBus } from "../../src/db/listen.ts";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import type { RunRow } from "../../src/db/queries/rows.ts";
import { isTerminal } from "../../src/domain/run.ts";
import { createRun } from "../../src/queue/create.ts";
import type { CreateRun } from "../../src/queue/request.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { runById, runRequest } from "../support/factory.ts";
import { type HoldfastProcess, startHoldfast } from "../support/holdfast-process.ts";
import { checkInvariants } from "../support/invariants.ts";
import { type PackedProgram, packProgram } from "../support/packed-program.ts";

const innocentsTotal = 5;
const secondsMax = 120;
const lookMillis = 100;

const settings = {
  ROLES: "worker",
  LEASE_SECONDS: "2",
  REAP_MILLIS: "100",
  POLL_MILLIS: "200",
  BLOCK_SECONDS: "2",
  STEP_SECONDS: "3",
};

let program: PackedProgram;
beforeAll(async () => {
  program = await packProgram({ graphs: "test/graphs/langgraph.json" });
});
afterAll(() => program.remove());

let database: TestDatabase;
let db: Database;
let bus: Bus;
let supervised: Supervised | undefined;
beforeEach(async () => {
  database = await createTestDatabase();
  db = openDatabase({ url: database.url, connectionsMax: 3 });
  bus = openBus({ db, listen: false, onError: () => undefined });
});
afterEach(async () => {
  await supervised?.stop();
  supervised = undefined;
  await bus.stop();
  await db.close();
  await database.drop();
});

interface Supervised {
  deaths: { code: number | null; signal: NodeJS.Signals | null }[];
  pid(): number;
  stop(): Promise<void>;
}

/** The processes for suspects that a worker has started. */
const childrenOf = (pid: number): number[] =>
  execFileSync("ps", ["-eo", "pid=,ppid=,args="], { encoding: "utf8" })
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, parent, ...program]) => Number(parent) === pid && program.at(-1) === "isolated")
    .map(([child]) => Number(child));

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function until(look: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + secondsMax * 1_000;
  while (!(await look())) {
    if (Date.now() > deadline) throw new Error(`waited ${secondsMax} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, lookMillis));
  }
}

/** A worker that is started again whenever it dies, as a supervisor would. */
async function supervise(environment: Record<string, string> = {}): Promise<Supervised> {
  const deaths: Supervised["deaths"] = [];
  let stopping = false;
  const start = (): Promise<HoldfastProcess> =>
    startHoldfast(
      { DATABASE_URL: database.url, LANGGRAPH_JSON: program.graphs, ...settings, ...environment },
      program,
    );
  let current = await start();
  const watching = (async () => {
    while (!stopping) {
      const death = await current.exited;
      if (stopping) return;
      deaths.push(death);
      current = await start();
    }
  })();
  return {
    deaths,
    pid: () => current.pid,
    async stop() {
      stopping = true;
      await current.end();
      await watching;
    },
  };
}

async function accepted(overrides: Partial<CreateRun>): Promise<string> {
  const { run } = await createRun(db, runRequest(overrides));
  return run.run_id;
}

const innocent = (): Promise<string> =>
  accepted({ graphId: "steps", kwargs: { input: { wait: 300 }, stream_mode: ["values"] } });

async function ended(runId: string): Promise<RunRow> {
  await until(async () => isTerminal((await runById(db, runId)).status), `run ${runId} to end`);
  return runById(db, runId);
}

const outcomesOf = async (runId: string): Promise<unknown[]> => {
  const { rows } = await db.query({
    text: "select outcome from holdfast.run_attempts where run_id = $1 order by epoch",
    values: [runId],
  });
  return rows.map(({ outcome }) => outcome);
};

interface Poison {
  how: string;
  graphId?: string;
  /** The dead letter. */
  status?: "error" | "timeout";
  code: string;
  message: RegExp;
  stack?: RegExp;
  attempts: string[];
  /** How often it takes a shared worker along: twice, then it is run alone. */
  deaths: number;
  environment?: Record<string, string>;
  kwargs?: Partial<CreateRun["kwargs"]>;
  attemptsMax?: number;
}

const alone = ["lost", "lost", "crashed", "crashed", "dead"];
const poisons: Poison[] = [
  { how: "throws", code: "error", message: /always wrong/, attempts: ["dead"], deaths: 0 },
  {
    how: "abort",
    code: "crash_budget",
    message: /died 3 times .*killed by SIGABRT/,
    attempts: alone,
    deaths: 2,
  },
  {
    how: "segfault",
    code: "crash_budget",
    message: /killed by SIGSEGV/,
    attempts: alone,
    deaths: 2,
  },
  {
    how: "stack",
    code: "range_error",
    message: /Maximum call stack/,
    stack: /deeper/,
    attempts: ["dead"],
    deaths: 0,
  },
  {
    how: "heap",
    code: "crash_budget",
    message: /killed by SIGABRT: .*out of memory/,
    attempts: alone,
    deaths: 2,
    environment: { NODE_OPTIONS: "--max-old-space-size=150", BLOCK_SECONDS: "60" },
  },
  {
    how: "blocks",
    code: "crash_budget",
    message: /killed by SIGKILL: the event loop is blocked/,
    stack: /spinsInTheGraph \(.*poison\.js/,
    attempts: alone,
    deaths: 2,
  },
  {
    how: "exits",
    code: "process_exit",
    message: /process\.exit\(0\)/,
    stack: /poison\.js/,
    attempts: ["dead"],
    deaths: 0,
  },
  { how: "exits unseen", code: "crash_budget", message: /ended with code 0/, attempts: alone, deaths: 2 },
  {
    how: "rejects",
    code: "unhandled_rejection",
    message: /nobody looks at me/,
    stack: /poison\.js/,
    attempts: ["dead"],
    deaths: 0,
  },
  {
    how: "throws later",
    code: "uncaught_exception",
    message: /thrown out of a timer/,
    stack: /poison\.js/,
    attempts: ["dead"],
    deaths: 0,
  },
  {
    how: "never returns",
    status: "timeout",
    code: "exhausted",
    message: /nothing was committed for 3 s/,
    attempts: ["retry", "dead"],
    attemptsMax: 2,
    deaths: 0,
  },
  {
    how: "goes round for ever",
    graphId: "endless",
    code: "recursion_limit",
    message: /[Rr]ecursion limit/,
    attempts: ["dead"],
    deaths: 0,
  },
  {
    how: "goes round for ever, with no limit of steps",
    graphId: "endless",
    status: "timeout",
    code: "run_timeout",
    message: /longer than 6 s/,
    attempts: ["dead"],
    deaths: 0,
    environment: { RUN_SECONDS: "6" },
    kwargs: { config: { recursion_limit: 1_000_000 } },
  },
];

describe("beside five innocent runs of the same worker, a graph that", () => {
  it.each(poisons)(
    "$how ends in a dead letter, and they are charged nothing",
    async ({ how, graphId = "poison", environment, kwargs, attemptsMax = 5, ...expected }) => {
      supervised = await supervise(environment);
      const poisoned = await accepted({
        graphId,
        attemptsMax,
        kwargs: { input: { how }, stream_mode: ["values"], ...kwargs },
      });
      const innocents = await Promise.all(Array.from({ length: innocentsTotal }, innocent));
      const dead = await ended(poisoned);
      expect(dead).toMatchObject({
        status: expected.status ?? "error",
        error: { code: expected.code, message: expect.stringMatching(expected.message) },
      });
      if (expected.stack !== undefined) expect(dead.error?.stack).toMatch(expected.stack);
      expect(await outcomesOf(poisoned)).toEqual(expected.attempts);
      for (const runId of innocents) {
        expect(await ended(runId)).toMatchObject({ status: "success", failures: 0, crashes: 0 });
      }
      expect(supervised.deaths.length, "the worker died").toBe(expected.deaths);
      await checkInvariants(db, [...innocents, poisoned]);
    },
  );
});

describe("a graph that", () => {
  it("looks at a rejected promise a little later than at once is not disturbed", async () => {
    supervised = await supervise();
    const run = await accepted({
      graphId: "poison",
      kwargs: { input: { how: "looks late" }, stream_mode: ["values"] },
    });
    expect(await ended(run)).toMatchObject({ status: "success" });
  });
});

describe("a suspect whose worker is killed from outside", () => {
  /** With a worker that works on it, in a process of its own. */
  async function atWork(): Promise<{ runId: string; worker: number; child: number }> {
    const runId = await accepted({
      graphId: "steps",
      kwargs: { input: { wait: 1_500 }, stream_mode: ["values"] },
    });
    await db.query({
      text: "update holdfast.runs set suspect = true where run_id = $1 and status = 'queued'",
      values: [runId],
    });
    supervised = await supervise();
    await until(async () => (await runById(db, runId)).status === "running", "the run to be claimed");
    const worker = supervised.pid();
    const [child = 0, ...others] = childrenOf(worker);
    expect(others).toEqual([]);
    expect(lives(child)).toBe(true);
    return { runId, worker, child };
  }
  const uncharged = { status: "success", crashes: 0, failures: 0 };

  it("is finished by its own process, which then goes too", async () => {
    const { runId, worker, child } = await atWork();
    process.kill(worker, "SIGKILL");
    expect(await ended(runId)).toMatchObject(uncharged);
    expect(await outcomesOf(runId)).toEqual(["success"]);
    await until(() => !lives(child), "its process to end");
    expect(supervised?.deaths).toEqual([{ code: null, signal: "SIGKILL" }]);
  });

  it("together with its process is charged nothing, and is finished by the next worker", async () => {
    const { runId, worker, child } = await atWork();
    for (const pid of [worker, child]) process.kill(pid, "SIGKILL");
    expect(await ended(runId)).toMatchObject(uncharged);
    expect(await outcomesOf(runId)).toEqual(["lost", "success"]);
  });
});
