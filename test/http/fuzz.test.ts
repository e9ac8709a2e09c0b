import { describe, expect, it } from "vitest";
import { makeDocument, type OpenApiDocument } from "../../src/http/openapi/document.ts";
import { operations } from "../../src/http/openapi/operations.ts";
import { AnswerCheck } from "../fuzz/answers.ts";
import { runFuzz } from "../fuzz/fuzz.ts";

const requests = 600;

it(`answers ${requests} requests as the document says, and works on`, async () => {
  const { faults, statuses, unreached } = await runFuzz({ requests, seed: 7 });
  expect(faults).toEqual([]);
  // Most are let in, and behind most doors something happens.
  expect(statuses[200]).toBeGreaterThan(requests / 4);
  expect(unreached.length).toBeLessThan(operations.length / 4);
}, 600_000);

describe("the fuzzer finds fault with", () => {
  const document: OpenApiDocument = makeDocument(operations, "test");
  const check = new AnswerCheck(document);
  const path = "/runs/{run_id}";
  const plan = { method: "get", path, operation: document.paths[path]!.get!, parameters: [], body: null };
  const id = "5f0e2f6c-0000-4000-8000-000000000000";
  const run = {
    run_id: id,
    thread_id: id,
    assistant_id: id,
    metadata: {},
    status: "pending",
    kwargs: {},
    multitask_strategy: "enqueue",
    created_at: "2026-01-01T00:00:00.000Z",
    updated_at: "2026-01-01T00:00:00.000Z",
  };
  const faultOf = (body: unknown, status = 200, type = "application/json"): string | null =>
    check.faultOf(plan, {
      status,
      headers: new Headers({ "content-type": type }),
      text: typeof body === "string" ? body : JSON.stringify(body),
      cut: false,
    });

  it.each<[string, unknown, number?, string?]>([
    ["a field that is not documented", { ...run, tenant: "default" }],
    ["a field of another type", { ...run, status: "queued" }],
    ["a field that is missing", { ...run, kwargs: undefined }],
    ["a status that is not documented", "", 418, "text/plain"],
    ["a fault of the server", "Internal Server Error", 500, "text/plain"],
    ["another media type", run, 200, "text/html"],
    ["half an answer", JSON.stringify(run).slice(0, -1)],
  ])("%s", (_what, body, status, type) => {
    expect(faultOf(run)).toBeNull();
    expect(faultOf(body, status, type)).not.toBeNull();
  });
});
