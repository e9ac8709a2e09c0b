import { print } from "./command.ts";
import type { RedriveResult } from "./queue/redrive.ts";

type Fields = Record<string, unknown>;
const messageCharsShown = 80;

const cell = (value: unknown): string => {
  if (value instanceof Date) return value.toISOString().slice(0, 19);
  return value === null || value === undefined ? "-" : String(value).replace(/\s+/g, " ");
};
const cut = (text: string): string =>
  text.length > messageCharsShown ? `${text.slice(0, messageCharsShown)}…` : text;

/** Columns as wide as their longest cell; the last one is free. */
function table(head: readonly string[], rows: readonly (readonly unknown[])[]): void {
  const cells = [head, ...rows.map((row) => row.map(cell))];
  const widths = head.map((_, n) => Math.max(...cells.map((row) => (row[n] ?? "").length)));
  for (const row of cells)
    print(
      row
        .map((text, n) => text.padEnd(widths[n] ?? 0))
        .join("  ")
        .trimEnd(),
    );
}

export function printLetters(letters: readonly Fields[]): void {
  const rows = letters.map((letter) => {
    const { code, message } = (letter.error ?? {}) as Fields;
    return [letter.run_id, letter.graph_id, code, letter.fingerprint, letter.finished_at, cut(cell(message))];
  });
  if (rows.length === 0) print("no dead letters");
  else table(["RUN", "GRAPH", "CODE", "GROUP", "DIED", "MESSAGE"], rows);
}

export function printGroups(groups: readonly Fields[]): void {
  const rows = groups.map((group) => {
    const graphs = (group.graphs as string[]).join(",");
    return [
      group.fingerprint,
      group.count,
      group.code,
      graphs,
      group.first_at,
      group.last_at,
      cut(cell(group.message)),
    ];
  });
  if (rows.length === 0) print("no dead letters");
  else table(["GROUP", "COUNT", "CODE", "GRAPHS", "FIRST", "LAST", "MESSAGE"], rows);
  for (const group of groups) print(`\n${cell(group.fingerprint)}: ${cell(group.advice)}`);
}

export function printStory(story: Fields): void {
  const { code, name, message, causes = [], stack } = (story.error ?? {}) as Fields;
  print(`run      ${cell(story.run_id)}  (${cell(story.graph_id)}, thread ${cell(story.thread_id)})`);
  print(`died     ${cell(story.finished_at)}  ${cell(story.status)}, group ${cell(story.fingerprint)}`);
  print(
    `charged  ${cell(story.failures)} failures, ${cell(story.crashes)} crashes, ${cell(story.losses)} lost leases`,
  );
  print(`error    ${cell(code)}: ${cell(name)}: ${cell(message)}`);
  for (const cause of causes as string[]) print(`  caused by ${cell(cause)}`);
  print(`advice   ${cell(story.advice)}`);
  print(`input    ${JSON.stringify(story.input)}`);
  if (story.command !== null) print(`command  ${JSON.stringify(story.command)}`);
  print(`at       checkpoint ${cell(story.last_checkpoint_id)}`);
  printAttempts(story.attempts as Fields[]);
  printEffects(story.effects as Fields[]);
  printChoices(story);
  if (typeof stack === "string") print(`\n${stack}`);
}

function printAttempts(attempts: readonly Fields[]): void {
  print("");
  const head = ["ATTEMPT", "WAITED MS", "STARTED", "ENDED", "OUTCOME", "WORKER", "ERROR"];
  table(
    head,
    attempts.map((row) => {
      const { message } = (row.error ?? {}) as Fields;
      const { attempt, waited_ms, started_at, ended_at, outcome, worker_id } = row;
      return [attempt, waited_ms, started_at, ended_at, outcome, worker_id, cut(cell(message))];
    }),
  );
}

function printEffects(effects: readonly Fields[]): void {
  print("");
  const rows = effects.map(({ tool, class: kind, state, dispatched_at, args_digest }) => [
    tool,
    kind,
    state,
    dispatched_at,
    args_digest,
  ]);
  if (rows.length === 0) print("it did nothing to the world");
  else table(["EFFECT", "CLASS", "STATE", "SENT", "ARGUMENTS"], rows);
}

function printChoices({ redrive, redrives, discarded_at, discard_reason }: Fields): void {
  print("");
  for (const [from, { possible, why }] of Object.entries(redrive as Record<string, Fields>))
    print(`redrive from the ${from}: ${possible === true ? "possible" : cell(why)}`);
  for (const again of redrives as Fields[])
    print(`redriven ${cell(again.created_at)} by ${cell(again.run_id)}: ${cell(again.status)}`);
  if (discarded_at !== null) print(`discarded ${cell(discarded_at)}: ${cell(discard_reason)}`);
}

export function printResults(results: readonly RedriveResult[], dryRun: boolean): void {
  const rows = results.map(({ run_id, redriven, redrive_run_id, available_at, reason }) => {
    const outcome = redriven ? (dryRun ? "would be redriven" : "redriven") : "refused";
    return [run_id, outcome, redrive_run_id, available_at, reason];
  });
  if (rows.length > 0) table(["RUN", "OUTCOME", "NEW RUN", "STARTS", "WHY NOT"], rows);
  const done = results.filter((result) => result.redriven).length;
  print(`${done} ${dryRun ? "would be redriven" : "redriven"}, ${results.length - done} refused`);
}
