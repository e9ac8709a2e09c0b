import assert from "node:assert/strict";
import { test } from "node:test";
import { MemorySaver } from "@langchain/langgraph";
import { builder } from "../graphs/agent/graph.ts";
import { refundRules } from "../validators/refund.ts";

const right = { order: "A-1", paid_cents: 5000, refund_cents: 2000, reason: "broken" };
const wrong = { ...right, refund_cents: 9000 };
const context = { sources: [], businessDate: "2026-01-01", timeZone: "UTC" };

test("a refund of what was paid passes", () => {
  assert.deepEqual(refundRules.validate(right, context), []);
});

test("a refund above what was paid is blocked", () => {
  const [finding] = refundRules.validate(wrong, context);
  assert.equal(finding?.code, "above_payment");
});

test("a human is asked about a refund that is blocked", async () => {
  const graph = builder.compile({ checkpointer: new MemorySaver() });
  const config = { configurable: { thread_id: "1" } };
  await graph.invoke({ refund: wrong }, config);
  const { next, tasks } = await graph.getState(config);
  assert.deepEqual(next, ["gate"]);
  assert.match(JSON.stringify(tasks[0]?.interrupts), /Refund order A-1/);
});
