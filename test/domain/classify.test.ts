import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { classify } from "../../src/domain/classify.ts";
import { Cancelled, Conflict, DatabaseAway, Fatal, LeaseLost, Transient } from "../../src/domain/errors.ts";
import { ModelError, type ModelErrorKind } from "../../src/models/model-error.ts";

const named = (name: string, message: string, more: object = {}): Error =>
  Object.assign(new Error(message), { name, ...more });
const status = (code: number, more: object = {}): Error =>
  Object.assign(new Error("said so"), { status: code, ...more });
const socket = (code: string): Error =>
  new TypeError("fetch failed", { cause: Object.assign(new Error(code), { code }) });
const postgres = (code: string): Error =>
  Object.assign(new Error("from Postgres"), { code, severity: "ERROR" });
class APIConnectionError extends Error {}

const model = (kind: ModelErrorKind, more: ConstructorParameters<typeof ModelError>[2] = {}): ModelError =>
  new ModelError(kind, "the model failed", more);

describe("classify", () => {
  it.each<[string, unknown, object]>([
    ["429", status(429), { name: "Transient", kind: "rate_limit", retryAfterMs: undefined }],
    [
      "429 with a header",
      status(429, { headers: { "retry-after": "7" } }),
      { kind: "rate_limit", retryAfterMs: 7_000 },
    ],
    [
      "429 with Headers",
      status(429, { headers: new Headers({ "retry-after": "3" }) }),
      { retryAfterMs: 3_000 },
    ],
    [
      "429 with an empty header",
      status(429, { headers: { "retry-after": "" } }),
      { retryAfterMs: undefined },
    ],
    [
      "429 of a spent quota",
      status(429, { code: "insufficient_quota" }),
      { name: "Fatal", code: "quota_exceeded" },
    ],
    ["402", status(402), { name: "Fatal", code: "quota_exceeded" }],
    ["408", status(408), { name: "Transient", kind: "timeout" }],
    ["409", status(409), { name: "Transient", kind: "timeout" }],
    ["500", status(500), { name: "Transient", kind: "timeout" }],
    ["529", status(529), { name: "Transient", kind: "timeout" }],
    ["400", status(400), { name: "Fatal", code: "bad_request" }],
    ["401", status(401), { name: "Fatal", code: "invalid_key" }],
    ["403", status(403), { name: "Fatal", code: "invalid_key" }],
    ["a refused connection", socket("ECONNREFUSED"), { name: "Transient", kind: "network" }],
    ["a reset connection", socket("ECONNRESET"), { name: "Transient", kind: "network" }],
    ["the client's connection error", new APIConnectionError("Connection error."), { kind: "network" }],
    ["a cut stream", new TypeError("terminated"), { name: "Transient", kind: "network" }],
    ["a timeout", named("TimeoutError", "30 s"), { name: "Transient", kind: "timeout" }],
    [
      "no capacity",
      named("RateLimitCapacityError", "full", { retryAfterMs: 90 }),
      { kind: "rate_limit", retryAfterMs: 90 },
    ],
    ["too many steps", named("GraphRecursionError", "25"), { name: "Fatal", code: "recursion_limit" }],
    [
      "a value nobody can store",
      named("UnstorableValue", "$.when"),
      { name: "Fatal", code: "unstorable_value" },
    ],
    ["a fault in graph code", new TypeError("x is not a function"), { name: "Fatal", code: "type_error" }],
    ["a thrown text", "no", { name: "Fatal", code: "error", message: "no" }],
    ["what has no text", Object.create(null), { name: "Fatal", code: "error" }],
    ["a message that has none", { message: Object.create(null), status: 500 }, { name: "Transient" }],
    ["a thrown nothing", undefined, { name: "Fatal", code: "error" }],
  ])("%s", (_, error, expected) => {
    expect(classify(error)).toMatchObject(expected);
  });

  it.each(["08006", "40001", "40P01", "57P01", "53300", "25006"])(
    "%s is charged when it comes from a graph's own database, and not when it comes from ours",
    (code) => {
      expect(classify(postgres(code))).toMatchObject({ name: "Transient", kind: "network" });
      const ours = new DatabaseAway("Postgres", { cause: postgres(code) });
      expect(classify(ours)).toMatchObject({ name: "Transient", kind: "database" });
    },
  );

  it("tells a fault in a statement from a database that is away", () => {
    expect(classify(postgres("23505"))).toMatchObject({ name: "Fatal" });
  });

  it.each<[ModelErrorKind, object]>([
    ["network", { name: "Transient", kind: "network" }],
    ["timeout", { name: "Transient", kind: "timeout" }],
    ["server", { name: "Transient", kind: "timeout" }],
    ["rate_limit", { name: "Transient", kind: "rate_limit", retryAfterMs: 1_500 }],
    ["auth", { name: "Fatal", code: "invalid_key" }],
    ["quota", { name: "Fatal", code: "quota_exceeded" }],
    ["context_length", { name: "Fatal", code: "context_length" }],
    ["bad_request", { name: "Fatal", code: "bad_request" }],
    ["bad_answer", { name: "Fatal", code: "bad_answer" }],
    ["schema", { name: "Fatal", code: "bad_answer" }],
  ])("a model error of kind %s", (kind, expected) => {
    expect(classify(model(kind, { retryAfterMs: 1_500 }))).toMatchObject(expected);
    expect(
      classify(new Error("in node extract", { cause: model(kind, { retryAfterMs: 1_500 }) })),
    ).toMatchObject(expected);
  });

  it("believes the models room rather than the status and causes behind its error", () => {
    expect(classify(model("quota", { status: 429, cause: status(429) }))).toMatchObject({
      code: "quota_exceeded",
    });
    expect(classify(model("bad_answer", { cause: socket("ECONNRESET") }))).toMatchObject({
      code: "bad_answer",
    });
  });

  it("does not take the words of a model for those of a database", () => {
    const answer = new ModelError("bad_answer", "the answer is not JSON: Connection terminated unexpectedly");
    expect(classify(answer)).toMatchObject({ name: "Fatal", code: "bad_answer" });
  });

  it.each([
    new Transient("later", { kind: "rate_limit", retryAfterMs: 5 }),
    new Fatal("never", { code: "mine" }),
    new Cancelled("stop"),
    new LeaseLost("gone"),
    new Conflict("not now"),
  ])("keeps ours as they are, also as a cause: $name", (error) => {
    expect(classify(error)).toBe(error);
    expect(classify(new Error("outer", { cause: error }))).toBe(error);
  });

  it("knows ours by name when they come from another copy of the module", () => {
    const foreign = named("Transient", "later", { kind: "rate_limit", retryAfterMs: 5 });
    expect(classify(foreign)).toMatchObject({ name: "Transient", kind: "rate_limit", retryAfterMs: 5 });
    // Only the runtime itself may say these: by name they would end a run unwritten, or repeat it for ever.
    for (const name of ["LeaseLost", "Cancelled", "DatabaseAway"]) {
      expect(classify(named(name, "no")).name).toBe("Fatal");
    }
    expect(classify(named("Fatal", "no", { code: "mine" }))).toMatchObject({ code: "mine" });
  });

  it("finds a cause among the errors of an AggregateError, and survives a loop of causes", () => {
    expect(classify(new AggregateError([new Error("a"), socket("EPIPE")]))).toMatchObject({
      kind: "network",
    });
    const loop = new Error("around");
    loop.cause = loop;
    expect(classify(loop)).toMatchObject({ name: "Fatal" });
  });

  it("is total: whatever is thrown becomes one of ours", () => {
    fc.assert(
      fc.property(fc.anything(), (thrown) => {
        expect(classify(thrown)).toBeInstanceOf(Error);
      }),
      { numRuns: 1_000 },
    );
  });
});
