import { expect, it } from "vitest";
import { getAssistant } from "../../src/db/queries/assistants.ts";
import { one } from "../../src/db/query.ts";
import { systemAssistantId } from "../../src/domain/ids.ts";
import { openRuntime } from "../../src/runtime.ts";
import { runtimeWith } from "../support/scenario.ts";

it("gives a graph's system assistant the config and context that LANGGRAPH_CONFIG says, until it says otherwise", async () => {
  const runtime = await runtimeWith();
  const { url, registry, log } = runtime;
  const assistantOf = async (
    assistantDefaults: Parameters<typeof openRuntime>[0]["assistantDefaults"] = {},
  ) => {
    const options = { url, registry, log, connectionsMax: 2, listen: false, tracing: false };
    const restarted = await openRuntime({ ...options, assistantDefaults });
    await restarted.stop();
    return one(
      await getAssistant(runtime.db, { assistantId: systemAssistantId("steps"), tenant: "default" }),
    );
  };
  const steps = { configurable: { tone: "dry" }, recursion_limit: 50, context: { user: "u" } };
  expect(await assistantOf({ steps, unknown: {} })).toMatchObject({
    config: { configurable: { tone: "dry" }, recursion_limit: 50 },
    context: { user: "u" },
  });
  expect(await assistantOf()).toMatchObject({ config: {}, context: {} });
});
