import { readFile } from "node:fs/promises";
import { type ParseArgsConfig, parseArgs } from "node:util";
import { print, withDatabase } from "./command.ts";
import type { Config } from "./config.ts";
import { type Bus, openBus } from "./db/listen.ts";
import type { Database } from "./db/pool.ts";
import { deadLetterGroups, listDeadLetters } from "./db/queries/dead-letters.ts";
import { getRun } from "./db/queries/runs.ts";
import { one } from "./db/query.ts";
import { printGroups, printLetters, printResults, printStory } from "./dead-letters-print.ts";
import { Conflict, InvalidInput, NotFound } from "./domain/errors.ts";
import { parseBody, parseInput } from "./http/body.ts";
import { Refused } from "./http/errors.ts";
import {
  deadLettersQuery,
  discardManyBody,
  filterOf,
  redriveBody,
  redriveManyBody,
} from "./http/schemas/dead-letter.ts";
import type { Log } from "./observe/log.ts";
import { deadLetterGroup, deadLetterLine, deadLetterStory } from "./queue/dead-letter.ts";
import { discardMany, type RedriveResult, redriveMany, redriveRun } from "./queue/redrive.ts";

const usage = `holdfast dead-letters <command>

  list                      dead letters that nobody has handled, newest first
  groups                    the same by cause, with what to do
  show ID                   one with its input, errors, attempts and effects
  redrive ID… | --group F   start them again; with --code or --graph, those
  discard ID… | --group F   close them; needs --reason TEXT

  --graph ID  --code CODE  --group FINGERPRINT  --since TIME  --until TIME  --limit N
  --all                     list and groups: those that were handled as well
  --from checkpoint|start   where a redrive begins; from the checkpoint if not said
  --effects reuse|repeat|deny   from the start: what becomes of effects already made
  --input FILE              from the start, one run: JSON in place of the old input
  --rate N                  starts per second
  --dry-run                 say what would happen, and do nothing
  --tenant NAME             "default" if not said
  --json                    for programs

Exit codes: 0 done, 1 something was refused or not found, 2 wrong usage.
`;

const options = {
  graph: { type: "string" },
  code: { type: "string" },
  group: { type: "string" },
  since: { type: "string" },
  until: { type: "string" },
  limit: { type: "string" },
  from: { type: "string" },
  effects: { type: "string" },
  input: { type: "string" },
  rate: { type: "string" },
  reason: { type: "string" },
  tenant: { type: "string", default: "default" },
  all: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  "dry-run": { type: "boolean", default: false },
} as const satisfies ParseArgsConfig["options"];

type Values = ReturnType<typeof parsed>["values"];
const parsed = (args: readonly string[]) => parseArgs({ args: [...args], options, allowPositionals: true });

interface Asked {
  db: Database;
  bus: Bus;
  ids: string[];
  values: Values;
}

const verbs: Readonly<Record<string, (asked: Asked) => Promise<void>>> = {
  list,
  groups,
  show,
  redrive: (asked) => (asked.values.input === undefined ? redriveSeveral(asked) : redriveEdited(asked)),
  discard,
};
const principal = "command line";

/** `holdfast dead-letters …`: what the API does, on the database directly. Waiting workers find the runs by polling. */
export async function manageDeadLetters(
  config: Config,
  log: Log,
  [verb = "", ...args]: string[],
): Promise<void> {
  const command = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
  if (command === undefined) return wrongUsage(usage);
  try {
    const { values, positionals: ids } = parsed(args);
    await withDatabase({ config, log }, async (db) => {
      const bus = openBus({ db, listen: false, onError: () => undefined });
      await command({ db, bus, ids, values }).finally(() => bus.stop());
    });
  } catch (error) {
    if (error instanceof Refused || (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS"))
      return wrongUsage(`${(error as Error).message}\n`);
    if (!(error instanceof Conflict || error instanceof NotFound || error instanceof InvalidInput))
      throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}

function wrongUsage(text: string): void {
  process.stderr.write(text);
  process.exitCode = 2;
}

const given = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
const narrowing = ({ graph, code, since, until }: Values): Record<string, unknown> =>
  given({ graph_id: graph, code, since, until });
const whole = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : Number(text);

function pageOf(values: Values) {
  const { group: fingerprint, limit: most } = values;
  const query = given({ ...narrowing(values), fingerprint, limit: most });
  const { limit, offset, ...narrow } = parseInput(deadLettersQuery, query);
  return { ...filterOf({ tenant: values.tenant, access: null }, { narrow, all: values.all }), limit, offset };
}

/** Ids, or a group, or a filter: as the API takes it. */
function whichOf({ ids, values }: Asked): Record<string, unknown> {
  const filter = narrowing(values);
  return given({
    group: values.group,
    run_ids: ids.length === 0 ? undefined : ids,
    filter: Object.keys(filter).length === 0 ? undefined : filter,
    limit: whole(values.limit),
    dry_run: values["dry-run"],
  });
}

const tell = (json: boolean, value: unknown, readable: () => void): void =>
  json ? print(JSON.stringify(value)) : readable();

async function list({ db, values }: Asked): Promise<void> {
  const letters = (await listDeadLetters(db, pageOf(values))).map(deadLetterLine);
  tell(values.json, letters, () => printLetters(letters));
}

async function groups({ db, values }: Asked): Promise<void> {
  const found = (await deadLetterGroups(db, pageOf(values))).map(deadLetterGroup);
  tell(values.json, found, () => printGroups(found));
}

async function show({ db, ids, values }: Asked): Promise<void> {
  const { run_ids } = parseInput(redriveManyBody, { run_ids: ids });
  for (const runId of run_ids ?? []) {
    const run = one(await getRun(db, { runId, threadId: null, tenant: values.tenant }));
    if (run === undefined || (run.status !== "error" && run.status !== "timeout"))
      throw new NotFound(`Dead letter ${runId} not found`);
    const story = await deadLetterStory(db, run);
    tell(values.json, story, () => printStory(story));
  }
}

async function redriveSeveral(asked: Asked): Promise<void> {
  const { values } = asked;
  const { from, effects, tenant } = values;
  const body = given({ ...whichOf(asked), from, effects, rate_per_second: whole(values.rate) });
  const {
    group,
    run_ids: runIds,
    filter: narrow,
    dry_run: dryRun,
    rate_per_second,
    ...choice
  } = parseInput(redriveManyBody, body);
  const results = await redriveMany(asked, {
    ...choice,
    input: undefined,
    tenant,
    principal,
    which: filterOf({ tenant, access: null }, { narrow, group, runIds }),
    ratePerSecond: rate_per_second ?? null,
    dryRun,
  });
  tellResults(asked, results);
}

async function redriveEdited(asked: Asked): Promise<void> {
  const { values, ids } = asked;
  const { input: file = "", from, effects, tenant } = values;
  const [runId] = parseInput(redriveManyBody, { run_ids: ids }).run_ids ?? [];
  if (ids.length !== 1 || runId === undefined) throw new Refused(422, "--input goes with one id");
  const body = given({
    from,
    effects,
    dry_run: values["dry-run"],
    input: parseBody(await inputOf(file)),
  });
  const { dry_run: dryRun, ...choice } = parseInput(redriveBody, body);
  const asking = { tenant, runId, principal, afterSeconds: 0, dryRun };
  const { run } = await redriveRun(asked, {
    ...asking,
    input: choice.input,
    from: choice.from,
    effects: choice.effects,
  });
  tellResults(asked, [
    {
      run_id: runId,
      redriven: true,
      redrive_run_id: run?.run_id ?? null,
      available_at: run?.available_at ?? null,
      reason: null,
    },
  ]);
}

function tellResults({ values }: Asked, results: RedriveResult[]): void {
  tell(values.json, results, () => printResults(results, values["dry-run"]));
  if (results.some((result) => !result.redriven)) process.exitCode = 1;
}

async function discard(asked: Asked): Promise<void> {
  const { values } = asked;
  const body = parseInput(discardManyBody, given({ ...whichOf(asked), reason: values.reason }));
  const { group, run_ids: runIds, filter: narrow, limit, reason, dry_run: dryRun } = body;
  const which = filterOf({ tenant: values.tenant, access: null }, { narrow, group, runIds });
  const done = await discardMany(asked.db, { which, limit, reason, dryRun });
  const open = (runIds ?? []).filter((id) => !done.includes(id));
  tell(values.json, { dry_run: dryRun, discarded: done, refused: open }, () => {
    print(`${dryRun ? "would discard" : "discarded"} ${done.length}`);
    for (const id of open) print(`${id}  no dead letter, or discarded before`);
  });
  if (open.length > 0) process.exitCode = 1;
}

async function inputOf(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new Refused(422, `--input ${file} cannot be read: ${(error as Error).message}`);
  }
}
