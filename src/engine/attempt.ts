// One attempt of one run, start to end. This room is the only one that runs graphs; it never decides what a failure
// means (domain/retry.ts) and never moves a run row (queue/settle.ts). Read next: input.ts, stream.ts, view.ts.
import { isGraphDrained, type RunControl } from "@langchain/langgraph";
import { askRunStoresDirectly } from "../checkpoint/direct-store.ts";
import type { GroupCommit } from "../checkpoint/group-commit.ts";
import { FencedSaver } from "../checkpoint/saver.ts";
import type { WriteKind } from "../checkpoint/saver-options.ts";
import { RunStore } from "../checkpoint/store.ts";
import type { StoreIndex } from "../checkpoint/store-index.ts";
import type { KnownParts } from "../checkpoint/thread-parts.ts";
import type { Database } from "../db/pool.ts";
import type { RunRow } from "../db/queries/rows.ts";
import { getThreadHead } from "../db/queries/threads.ts";
import { one } from "../db/query.ts";
import type { PendingEvent, RunEvents } from "../domain/event.ts";
import type { Lifetimes } from "../domain/lifetimes.ts";
import type { Outcome } from "../domain/outcome.ts";
import { isFirstClaim, isOfNewThread } from "../domain/run.ts";
import { refuseSwallowedQuestions } from "../effects/asked.ts";
import { openEffects } from "../effects/ledger.ts";
import { openModels } from "../models/runtime.ts";
import type { Slots } from "../models/slots.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { countModels } from "../observe/tokens.ts";
import type { Tracing } from "../observe/tracing.ts";
import { announce } from "./announce.ts";
import { graphConfig } from "./config.ts";
import { goOnWithChangedGraph, meetChangedGraph } from "./graph-version.ts";
import { prepareInput } from "./input.ts";
import { ProtocolTranslator } from "./protocol.ts";
import { type Graph, handsInputOn, type Registry } from "./registry.ts";
import { ChunkTranslator, type GraphStream } from "./stream.ts";
import { readParked } from "./view.ts";
import { toWire } from "./wire.ts";

export interface AttemptDeps {
  db: Database;
  group: GroupCommit;
  registry: Registry;
  log: Log;
  metrics: Metrics;
  tracing: Tracing;
  /** How many model requests this process may have under way. */
  slots: Slots;
  /** What long-term memory is searched by meaning with; null where the project has none. */
  storeIndex: StoreIndex | null;
  /** Of what nodes put there. */
  lifetimes: Lifetimes;
}

export interface AttemptSignals {
  /** Aborts the graph: a cancel, a lost lease, or a drain that took too long. */
  signal: AbortSignal;
  /** Stops it at the next step boundary. */
  control: RunControl;
  /** Ends this attempt with an error that graph code must not be able to swallow. */
  abort: (error: Error) => void;
  events: RunEvents;
  /** Of the run's thread. */
  parts: KnownParts;
  /** Repeats a statement while the database is away, and counts what the fence refused. */
  write: <T>(kind: WriteKind, statement: () => Promise<T>) => Promise<T>;
}

export interface AttemptEnd {
  outcome: Outcome;
  finalEvents: PendingEvent[];
}

/** Runs the graph until it ends, parks, drains or throws. A throw is the caller's to decide about. */
export async function runAttempt(
  deps: AttemptDeps,
  run: RunRow,
  signals: AttemptSignals,
): Promise<AttemptEnd> {
  const stopCounting = countModels(run.run_id, { metrics: deps.metrics, graphId: run.graph_id });
  try {
    return await attempt(deps, run, signals);
  } finally {
    stopCounting();
  }
}

async function attempt(deps: AttemptDeps, run: RunRow, signals: AttemptSignals): Promise<AttemptEnd> {
  const { db, registry, group } = deps;
  const opened = await registry.open(run.graph_id, { configurable: run.kwargs.config?.configurable ?? {} });
  const version = registry.version(run.graph_id, opened);
  const own = { db, group, holder: holderOf(run), write: signals.write, metadata: metadataOf(run, version) };
  const newThread = isOfNewThread(run);
  const inputWaits = handsInputOn(opened) && run.kwargs.command === undefined;
  const saver = new FencedSaver({
    ...own,
    newThread,
    inputWaits,
    events: signals.events,
    parts: signals.parts,
  });
  const graph: Graph = Object.assign(opened, { checkpointer: saver, store: storeOf(deps, run, signals) });

  await announce({ db, graph, events: signals.events }, run);
  if (!isFirstClaim(run)) await goOnWithChangedGraph({ graph, saver, version }, run);
  if (await meetsAnother(deps, run, version)) {
    const probe = new FencedSaver({ ...own, noSteps: true });
    const { config } = invocationOf(deps, { graph, saver: probe, run, signals, fork: {} });
    await meetChangedGraph({ db, graph, saver: probe, config }, run);
  }
  const write = <T>(statement: () => Promise<T>): Promise<T> => signals.write("input", statement);
  const read = <T>(statement: () => Promise<T>): Promise<T> => signals.write("read", statement);
  const prepared = await prepareInput({ db, graph, saver, write, read }, run);
  const translator = translatorOf(deps, run, signals.events);
  let owesNothing = isFirstClaim(run);
  if (!prepared.alreadyStopped) {
    const consumption = { graph, saver, run, signals, translator, prepared };
    // At a drain between the input and the step behind it. Where the attempt was aborted nothing is written any more.
    const { drained, calledEffects } = await consume(deps, consumption).finally(() =>
      saver.flush().catch(() => undefined),
    );
    if (drained) return { outcome: { kind: "released" }, finalEvents: await signals.events.finish() };
    owesNothing &&= !calledEffects;
  }
  await tellFeedback(deps, run, signals.events);
  saver.graphIsOver();
  const parked = await readParked(graph, saver, { threadId: run.thread_id, shown: translator.shown });
  const { questions } = parked;
  if (!owesNothing) await read(() => refuseSwallowedQuestions(db, { runId: run.run_id, questions }));
  const outcome: Outcome = {
    kind: "success",
    view: parked.view,
    questions,
    graphVersion: version,
  };
  const held = await signals.events.finish();
  return { outcome, finalEvents: [...held, ...translator.ending(parked)] };
}

/** The long-term memory that nodes reach by `config.store`; one that a graph was compiled with stands back for it. */
function storeOf(
  { db, log, storeIndex: index, lifetimes }: AttemptDeps,
  run: RunRow,
  { write }: AttemptSignals,
): RunStore {
  askRunStoresDirectly();
  const { run_id: runId, tenant, epoch, graph_id: graph } = run;
  let told = false;
  const onQuery = (): void => {
    if (!told)
      log.warn({ run_id: runId, graph }, "a search by meaning has no index: the newest items are given");
    told = true;
  };
  return new RunStore({ db, tenant, writer: { runId, epoch }, write, index, lifetimes, onQuery });
}

/** The addresses for feedback come last; a run does not fail because LangSmith is away. */
async function tellFeedback({ tracing, log }: AttemptDeps, run: RunRow, events: RunEvents): Promise<void> {
  const keys = run.kwargs.feedback_keys ?? [];
  if (keys.length === 0) return;
  const urls = await tracing.feedbackUrls(run, keys).catch((error: unknown) => {
    log.warn({ error, run_id: run.run_id }, "no addresses for feedback");
    return {};
  });
  if (Object.keys(urls).length > 0) events.ready({ event: "feedback", data: toWire(urls), step: null });
}

/** Whether this run continues a thread that was parked by another version of its graph. */
async function meetsAnother({ db }: AttemptDeps, run: RunRow, version: string): Promise<boolean> {
  const continues = run.resume !== null ? !run.input_applied : (run.kwargs.input ?? null) === null;
  if (!continues || run.kwargs.checkpoint !== undefined || run.kwargs.command?.goto != null) return false;
  const thread = one(await getThreadHead(db, { threadId: run.thread_id, tenant: run.tenant }));
  const parkedBy = thread?.graph_version ?? null;
  return parkedBy !== null && parkedBy !== version;
}

const holderOf = (run: RunRow) =>
  ({ kind: "run", runId: run.run_id, threadId: run.thread_id, epoch: run.epoch }) as const;

const metadataOf = (run: RunRow, version: string): Record<string, unknown> => ({
  run_id: run.run_id,
  graph_id: run.graph_id,
  graph_version: version,
  assistant_id: run.assistant_id,
  run_attempt: run.attempt,
});

function translatorOf({ log, metrics }: AttemptDeps, run: RunRow, events: RunEvents): GraphStream {
  const { kwargs, run_id, thread_id, graph_id: graph, attempt } = run;
  let since = performance.now();
  const onStep = (nodes: string[]): void => {
    const durationMs = Math.round(performance.now() - since);
    since = performance.now();
    metrics.steps.inc({ graph });
    log.info({ run_id, thread_id, graph, attempt, nodes, duration_ms: durationMs }, "step");
  };
  if (kwargs.stream_protocol === "v2")
    return new ProtocolTranslator({ events, threadId: thread_id, graphId: graph, onStep });
  const request = { modes: kwargs.stream_mode, subgraphs: kwargs.stream_subgraphs ?? false };
  return new ChunkTranslator({ request, events, onStep });
}

interface Consumption {
  graph: Graph;
  saver: FencedSaver;
  run: RunRow;
  signals: AttemptSignals;
  translator: GraphStream;
  prepared: { input: unknown; fork: Record<string, unknown> };
}

/** Reads the graph's stream to its end, or to the step boundary at which it drained. */
async function consume(
  deps: AttemptDeps,
  { graph, saver, run, signals, translator, prepared }: Consumption,
): Promise<{ drained: boolean; calledEffects: boolean }> {
  const { kwargs } = run;
  const { config, effects } = invocationOf(deps, { graph, saver, run, signals, fork: prepared.fork });
  const before = kwargs.interrupt_before;
  const after = kwargs.interrupt_after;
  try {
    await translator.read(graph, prepared.input, {
      ...config,
      durability: "sync",
      control: signals.control,
      ...(before === undefined ? {} : { interruptBefore: before }),
      ...(after === undefined ? {} : { interruptAfter: after }),
    });
    // A node that asks a question may have left a call under way beside it.
    await effects.idle();
    return { drained: false, calledEffects: effects.used };
  } catch (error) {
    if (isGraphDrained(error)) return { drained: true, calledEffects: effects.used };
    // A branch failed while another one's call was under way: its outcome must be known before the run moves.
    await effects.idle();
    throw error;
  }
}

type Invocation = Pick<Consumption, "graph" | "saver" | "run" | "signals"> & {
  fork: Record<string, unknown>;
};

function invocationOf(deps: AttemptDeps, { graph, saver, run, signals, fork }: Invocation) {
  const effects = openEffects({
    db: deps.db,
    metrics: deps.metrics,
    run,
    write: (statement) => signals.write("effect", statement),
    abort: signals.abort,
  });
  const { tracing } = deps;
  const { signal, write } = signals;
  const settled = (ns: string, checkpointId: string) => saver.settled(ns, checkpointId);
  const models = openModels({ ...deps, run, signal, write, settled });
  const config = graphConfig({ run, graph, fork, effects, models, tracing });
  return { effects, config: { ...config, signal } };
}
