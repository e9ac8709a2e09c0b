// One scrape for all processes of a program: whichever is asked asks its parent, which asks them all. Each keeps its series, by the
// label `process`: a sum would fall when one of them is replaced, and look like a counter that began anew for all.
// Read next: processes.ts at the top, which is the parent.
import { randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { AggregatorRegistry, type Registry } from "prom-client";

/** What a process has counted, as it travels. */
type Counted = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;

/** From a process to its parent. */
export type ToParent = { up: true } | { wantsMetrics: string } | { counted: Counted; question: string };

/** From the parent to a process. */
export type FromParent = { stop: true } | { tellMetrics: string } | { metrics: string; question: string };

interface Parent {
  send(message: ToParent): void;
  onMessage(listener: (message: FromParent) => void): void;
}

/** A process whose event loop stands still is left out. */
const answerMillisMax = 1_000;
const parentMillisMax = 2_000;

/** In one of the processes: tells the parent what this one counts, and gives the text of them all. Rejects where the parent does not answer within two seconds. */
export function shareMetrics(parent: Parent, own: Registry): () => Promise<string> {
  const answers = new EventEmitter();
  const tell = async (question: string): Promise<void> =>
    parent.send({ counted: await own.getMetricsAsJSON(), question });
  parent.onMessage((message) => {
    if ("tellMetrics" in message) void tell(message.tellMetrics);
    else if ("metrics" in message) answers.emit(message.question, message.metrics);
  });
  return async () => {
    const question = randomUUID();
    const answered = once(answers, question, { signal: AbortSignal.timeout(parentMillisMax) });
    parent.send({ wantsMetrics: question });
    const [text] = await answered;
    return String(text);
  };
}

interface Member {
  name: string;
  send(message: FromParent): void;
}

/** In the parent: asks all, and puts together what came within a second. */
export class MetricsOfAll {
  readonly #answers = new EventEmitter();

  /** A message of the process with that name. */
  heard(name: string, { question, counted }: { question: string; counted: Counted }): void {
    this.#answers.emit(`${question} ${name}`, counted);
  }

  async text(members: readonly Member[]): Promise<string> {
    const question = randomUUID();
    const signal = AbortSignal.timeout(answerMillisMax);
    const asked = members.map(async ({ name, send }): Promise<Counted> => {
      const answered = once(this.#answers, `${question} ${name}`, { signal });
      send({ tellMetrics: question });
      const [counted] = await answered;
      return labelled(counted as Counted, name);
    });
    const told = await Promise.allSettled(asked);
    const counted = told.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    return AggregatorRegistry.aggregate(counted).metrics();
  }
}

const labelled = (counted: Counted, name: string): Counted =>
  counted.map((metric) => ({
    ...metric,
    values: metric.values.map((value) => ({ ...value, labels: { ...value.labels, process: name } })),
  }));
