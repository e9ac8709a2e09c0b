import { type ChildProcess, fork } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import type { RunRow } from "../db/queries/rows.ts";
import type { Death } from "../queue/crash.ts";
import type { Ended } from "./held-runs.ts";

/** What the child is told, and what it tells. */
export type ToChild = { open: { url: string; workerId: string } } | { work: RunRow } | { stop: number };
export interface FromChild {
  /** In the first message. Graph code may send messages of its own. */
  ready?: true;
  ended?: { runId: string; epoch: number; outcome: Ended };
}

export interface ChildProgram {
  /** The program's own main file; its hidden command makes it a child. */
  mainFile: string;
  command: string;
  url: string;
  workerId: string;
}

const readyMillisMax = 60_000;
/** A child that was told to stop and has given its run back may take so long to close its connections. */
const exitGraceMillis = 7_000;
const stderrMillisMax = 500;
const disconnectedMillisMax = 1_000;
/** The end of what it wrote to stderr: V8's last words before it runs out of memory are about 4 KB. */
const stderrCharsMax = 16_384;
/** A debugger's port is taken by the parent, and a watcher would start the child again. */
const parentsOwn = /^--(inspect|watch|test)/;

/** A process that runs one suspect at a time, made of the same program with the same limits of memory and stack. */
export class IsolatedChild {
  readonly #process: ChildProcess;
  readonly #exited: Promise<string>;
  #stderr = "";

  private constructor({ mainFile, command }: ChildProgram) {
    this.#process = fork(mainFile, [command], {
      execArgv: process.execArgv.filter((flag) => !parentsOwn.test(flag)),
      serialization: "advanced",
      stdio: ["ignore", "inherit", "pipe", "ipc"],
    });
    this.#process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-stderrCharsMax);
      process.stderr.write(text);
    });
    this.#exited = this.#exit();
    this.#process.once("disconnect", () => void this.#endDisconnected());
  }

  async #exit(): Promise<string> {
    const read = new Promise((resolve) => this.#process.once("close", resolve));
    const how = await new Promise<string>((resolve) => {
      this.#process.once("exit", (code, signal) =>
        resolve(signal === null ? `ended with code ${code}` : `killed by ${signal}`),
      );
      // A send to a process that has just died is told by its exit; one that never lived has none.
      this.#process.on("error", ({ message }) => {
        if (this.#process.pid === undefined) resolve(`could not be started: ${message}`);
      });
    });
    // A process that graph code started may hold the other end of stderr open.
    await Promise.race([read, sleep(stderrMillisMax, undefined, { ref: false })]);
    return how;
  }

  /** Graph code can cut the line; what becomes of its run could then be told to nobody. */
  async #endDisconnected(): Promise<void> {
    await Promise.race([this.#exited, sleep(disconnectedMillisMax, undefined, { ref: false })]);
    this.kill();
  }

  /** Resolves when it is ready for a run; throws when it did not get there. */
  static async start(program: ChildProgram): Promise<IsolatedChild> {
    const child = new IsolatedChild(program);
    child.#send({ open: { url: program.url, workerId: program.workerId } });
    const ready = new Promise<null>((resolve) =>
      child.#process.on("message", (message) => {
        if ((message as FromChild | null)?.ready === true) resolve(null);
      }),
    );
    const late = sleep(readyMillisMax, "was not ready in time", { ref: false });
    const failed = await Promise.race([ready, child.#exited, late]);
    if (failed === null) return child;
    child.kill();
    throw new Error(`the process for suspects ${failed}: ${child.#stderr}`);
  }

  /** True while it lives and can be told something. */
  get alive(): boolean {
    return this.#process.connected && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Hands it a claimed run, and waits for the run's outcome or for the death of the process. */
  async work(run: RunRow): Promise<{ ended: Ended } | { died: Death }> {
    // What an earlier run wrote is not this one's to show.
    this.#stderr = "";
    let listener: (message: unknown) => void = () => undefined;
    const ended = new Promise<{ ended: Ended }>((resolve) => {
      listener = (message) => {
        const told = (message as FromChild | null)?.ended;
        if (told?.runId === run.run_id && told.epoch === run.epoch) resolve({ ended: told.outcome });
      };
      this.#process.on("message", listener);
    });
    const died = this.#exited.then((how) => ({ died: { how, stderr: this.#stderr } }));
    this.#send({ work: run });
    const end = await Promise.race([ended, died]);
    this.#process.off("message", listener);
    return end;
  }

  /** Lets it give its run back at a step boundary, then ends it. */
  async stop(deadlineMillis: number): Promise<void> {
    this.#send({ stop: deadlineMillis });
    const timer = new AbortController();
    const late = sleep(deadlineMillis + exitGraceMillis, undefined, { signal: timer.signal });
    await Promise.race([this.#exited, late.catch(() => undefined)]);
    timer.abort();
    this.kill();
    await this.#exited;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  #send(message: ToChild): void {
    if (this.alive) this.#process.send(message);
  }
}
