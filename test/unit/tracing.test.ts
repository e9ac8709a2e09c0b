import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { openTracing } from "../../src/observe/tracing.ts";
import { startLangSmith } from "../support/langsmith.ts";

const run = { run_id: "0199aaaa-0000-7000-8000-000000000001", graph_id: "g", attempt: 1 };

let langSmith: Awaited<ReturnType<typeof startLangSmith>>;
beforeEach(async () => {
  langSmith = await startLangSmith();
  for (const [name, value] of Object.entries(langSmith.environment)) vi.stubEnv(name, value);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await langSmith.stop();
});

it("gives an address for each key of feedback", async () => {
  const tracing = openTracing({ enabled: true });
  const url = "https://feedback.example/token";
  expect(await tracing.feedbackUrls(run, ["good", "fast"])).toEqual({ good: url, fast: url });
});

it("gives none without tracing", async () => {
  expect(await openTracing({ enabled: false }).feedbackUrls(run, ["good"])).toEqual({});
});

it("traces a run into the project it names as well, by a handler of its own", () => {
  const tracing = openTracing({ enabled: true });
  const [shared] = tracing.callbacksFor({});
  const [own] = tracing.callbacksFor({ langsmith_project: "other", langsmith_example_id: "e-1" });
  expect(own).not.toBe(shared);
  expect(own).toMatchObject({ replicas: [["other", { reference_example_id: "e-1" }], expect.anything()] });
  expect(openTracing({ enabled: false }).callbacksFor({ langsmith_project: "other" })).toEqual([]);
});
