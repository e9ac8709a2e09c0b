import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Database, openDatabase } from "../../src/db/pool.ts";
import * as assistants from "../../src/db/queries/assistants.ts";
import * as breakers from "../../src/db/queries/breakers.ts";
import * as checkpointGroups from "../../src/db/queries/checkpoint-groups.ts";
import * as checkpointReads from "../../src/db/queries/checkpoint-reads.ts";
import * as checkpointWrites from "../../src/db/queries/checkpoint-writes.ts";
import * as checkpoints from "../../src/db/queries/checkpoints.ts";
import * as claim from "../../src/db/queries/claim.ts";
import * as compensations from "../../src/db/queries/compensations.ts";
import * as create from "../../src/db/queries/create.ts";
import * as crons from "../../src/db/queries/crons.ts";
import * as deadLetters from "../../src/db/queries/dead-letters.ts";
import * as effectReads from "../../src/db/queries/effect-reads.ts";
import * as effects from "../../src/db/queries/effects.ts";
import * as escalations from "../../src/db/queries/escalations.ts";
import * as events from "../../src/db/queries/events.ts";
import * as forks from "../../src/db/queries/forks.ts";
import * as keys from "../../src/db/queries/keys.ts";
import * as modelCalls from "../../src/db/queries/model-calls.ts";
import * as parts from "../../src/db/queries/parts.ts";
import * as protocol from "../../src/db/queries/protocol.ts";
import * as runs from "../../src/db/queries/runs.ts";
import * as settle from "../../src/db/queries/settle.ts";
import * as store from "../../src/db/queries/store.ts";
import * as threadCopy from "../../src/db/queries/thread-copy.ts";
import * as threadPrune from "../../src/db/queries/thread-prune.ts";
import * as threadStream from "../../src/db/queries/thread-stream.ts";
import * as threads from "../../src/db/queries/threads.ts";
import * as webhooks from "../../src/db/queries/webhooks.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

const rooms = {
  assistants,
  breakers,
  checkpointGroups,
  checkpointReads,
  checkpointWrites,
  checkpoints,
  claim,
  compensations,
  create,
  crons,
  effectReads,
  deadLetters,
  effects,
  escalations,
  events,
  forks,
  keys,
  modelCalls,
  parts,
  protocol,
  runs,
  settle,
  store,
  threadCopy,
  threadPrune,
  threadStream,
  threads,
  webhooks,
};
const statements = Object.values(rooms)
  .flatMap((room) => Object.values(room))
  .map((exported) => (exported as { definition?: { name: string; text: string } }).definition)
  .filter((definition) => definition !== undefined);

describe("every statement", () => {
  let test: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    test = await createTestDatabase();
    db = openDatabase({ url: test.url, connectionsMax: 1 });
  });
  afterAll(async () => {
    await db.close();
    await test.drop();
  });

  it.each(statements)("$name fits the migrated schema", async ({ name, text }) => {
    await db.query({ text: `prepare "${name}" as ${text}`, values: [] });
  });

  it("has a name of its own", () => {
    const names = statements.map(({ name }) => name);
    expect(names.length).toBeGreaterThan(50);
    expect(new Set(names).size).toBe(names.length);
  });

  it("is not cut short by Postgres, which takes 63 bytes of a name", () => {
    for (const { name } of statements) expect(Buffer.byteLength(name)).toBeLessThanOrEqual(63);
  });

  it("names the status it expects when it updates or deletes a run", () => {
    const moves = statements.filter(({ text }) => /(update|delete from) holdfast\.runs/.test(text));
    expect(moves.length).toBeGreaterThan(8);
    for (const { name, text } of moves) expect(text, name).toMatch(/status (=|in|<>)/);
  });
});
