import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { type Direction, PostgresLink, type Statement, type Weather } from "./postgres-link.ts";

export type { Statement } from "./postgres-link.ts";

/** A statement to look for: its text (any case, anywhere), a pattern, or a question about it and its transaction. */
export type StatementMatcher = string | RegExp | ((statement: Statement) => boolean);

export interface Cut {
  sql: string;
  when: "before-send" | "after-commit";
  /** The command tags that the server answered: `COMMIT`, or `ROLLBACK` where the transaction had failed. */
  tags: readonly string[];
  /** The server answered with an error. */
  failed: boolean;
}

export interface ProxyCounters {
  linksOpened: number;
  linksOpen: number;
  statements: number;
  commits: number;
  cuts: number;
  droppedBytes: number;
}

export interface PostgresProxy {
  port: number;
  /** The same database, reached through the proxy. */
  url(databaseUrl: string): string;
  /** Each message waits this long, in both directions. */
  delay(ms: number): void;
  /** All bytes vanish in both directions, of new links too; nobody is told. */
  halfOpen(): void;
  /** Holds the bytes of these directions until `heal`, and loses none. */
  stall(...directions: Direction[]): void;
  /** New links are reset at once. */
  refuse(): void;
  /** Resets every live link. */
  reset(): void;
  /** Lets the next matching statement reach the server, waits for its full answer, then resets without relaying it. */
  cutAfterServerCommit(matcher: StatementMatcher): Promise<Cut>;
  /** Resets instead of forwarding the next matching statement. */
  cutBeforeSend(matcher: StatementMatcher): Promise<Cut>;
  nextCut(): Promise<Cut>;
  /** Good weather again; plans are forgotten; links that lost bytes are reset. */
  heal(): void;
  readonly counters: Readonly<ProxyCounters>;
  stop(): Promise<void>;
}

/** Matches the COMMIT of a transaction that holds a matching statement. */
export const commitOf =
  (matcher: StatementMatcher): StatementMatcher =>
  ({ sql, transaction }) =>
    isCommit(sql) && transaction.some((earlier) => matches(matcher, { sql: earlier, transaction: [] }));

const linksMax = 500;

interface Plan {
  matcher: StatementMatcher;
  when: Cut["when"];
  done(cut: Cut): void;
}

/** A TCP proxy that understands enough of the Postgres protocol to break links at a chosen statement. */
export async function startPostgresProxy(target: { host: string; port: number }): Promise<PostgresProxy> {
  const links = new Set<PostgresLink>();
  const counters: ProxyCounters = {
    linksOpened: 0,
    linksOpen: 0,
    statements: 0,
    commits: 0,
    cuts: 0,
    droppedBytes: 0,
  };
  const clear: Weather = { delayMs: 0, drop: false, stalled: new Set() };
  let weather = clear;
  let refusing = false;
  let plans: Plan[] = [];
  let waiting: ((cut: Cut) => void)[] = [];

  function judge(statement: Statement): { verdict: "forward" | "cut-before" | "cut-after"; plan?: Plan } {
    counters.statements++;
    if (isCommit(statement.sql)) counters.commits++;
    const plan = plans.find((candidate) => matches(candidate.matcher, statement));
    if (plan === undefined) return { verdict: "forward" };
    plans = plans.filter((other) => other !== plan);
    return { verdict: plan.when === "before-send" ? "cut-before" : "cut-after", plan };
  }

  const server = createServer({ allowHalfOpen: true }, (client) => {
    client.on("error", () => undefined);
    if (refusing || links.size >= linksMax) {
      client.resetAndDestroy();
      return;
    }
    let planned: Plan | undefined;
    const link = new PostgresLink(client, target, {
      weather: () => weather,
      statement(statement) {
        const { verdict, plan } = judge(statement);
        planned = plan ?? planned;
        return verdict;
      },
      cut({ sql, tags, failed, sent }) {
        counters.cuts++;
        const cut: Cut = { sql, tags, failed, when: sent ? "after-commit" : "before-send" };
        planned?.done(cut);
        for (const tell of waiting) tell(cut);
        waiting = [];
      },
      dropped: (bytes) => {
        counters.droppedBytes += bytes;
      },
      closed: () => {
        links.delete(link);
        counters.linksOpen = links.size;
      },
    });
    links.add(link);
    counters.linksOpened++;
    counters.linksOpen = links.size;
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;

  const plan = (when: Cut["when"], matcher: StatementMatcher) =>
    new Promise<Cut>((done) => plans.push({ matcher, when, done }));
  const resetAll = (those: (link: PostgresLink) => boolean) => {
    for (const link of [...links]) if (those(link)) link.reset();
  };
  return {
    port,
    url: (databaseUrl) => through(databaseUrl, port),
    delay: (delayMs) => {
      weather = { ...weather, delayMs };
    },
    halfOpen: () => {
      weather = { ...weather, drop: true };
    },
    stall: (...directions) => {
      weather = { ...weather, stalled: new Set(directions) };
    },
    refuse: () => {
      refusing = true;
    },
    reset: () => resetAll(() => true),
    cutAfterServerCommit: (matcher) => plan("after-commit", matcher),
    cutBeforeSend: (matcher) => plan("before-send", matcher),
    nextCut: () => new Promise((resolve) => waiting.push(resolve)),
    heal() {
      weather = clear;
      refusing = false;
      plans = [];
      resetAll((link) => link.lostBytes);
      for (const link of links) link.release();
    },
    counters,
    async stop() {
      refusing = true;
      resetAll(() => true);
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}

const isCommit = (sql: string): boolean => /^\s*(\/\*.*?\*\/\s*)?(commit|end)\b/i.test(sql);

function matches(matcher: StatementMatcher, statement: Statement): boolean {
  if (typeof matcher === "function") return matcher(statement);
  if (typeof matcher === "string") return statement.sql.toLowerCase().includes(matcher.toLowerCase());
  return new RegExp(matcher.source, matcher.flags.replace("g", "")).test(statement.sql);
}

function through(databaseUrl: string, port: number): string {
  const url = new URL(databaseUrl);
  url.hostname = "127.0.0.1";
  url.port = String(port);
  url.searchParams.delete("host");
  return url.toString();
}
