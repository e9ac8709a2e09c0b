import type { ToolCall } from "@langchain/core/messages/tool";
import { interopSafeParseAsync, isInteropZodSchema } from "@langchain/core/utils/types";
import { getConfig, type LangGraphRunnableConfig } from "@langchain/langgraph";
import { performEffect } from "../effects/effect.ts";
import { heldKeyOf, insideCall } from "../effects/execution.ts";
import { effectOf } from "./tool-declaration.ts";
import { type AnyTool, outputOf, storedResult, type ToolOutput } from "./tool-result.ts";

/**
 * The idempotency key of the tool call this is called in, to send along to the outside world. It is the same when
 * the call is repeated. With or without the config that LangChain gives to the tool. Throws outside a tool node.
 */
export function idempotencyKey(config?: { configurable?: Record<string, unknown> }): string {
  return heldKeyOf(config ?? getConfig());
}

interface Called {
  tool: AnyTool;
  call: ToolCall;
  config: LangGraphRunnableConfig;
  /** Runs the tool as its node would. */
  invoke: (tool: AnyTool) => Promise<unknown>;
}

/** One call, one ledger row: what it returned before, when it has taken place. Call it once for each task and call. */
export async function callOnce({ tool, call, config, invoke }: Called): Promise<ToolOutput> {
  const declaration = effectOf(tool);
  const told = { tool, call, taskId: taskIdOf(config) };
  const result = await performEffect(
    { declaration, args: call.args, toolCallId: call.id ?? null },
    async (key) => {
      let returned: unknown;
      const watched = inside(tool, {
        config: insideCall(config, key),
        interruptible: declaration.class === "read",
        see: (value) => {
          returned = value;
        },
      });
      const output = await invoke(watched);
      return storedResult({ returned: watched === tool ? output : (returned ?? output), output }, told);
    },
  );
  return outputOf(result, told);
}

export const taskIdOf = (config: LangGraphRunnableConfig): string =>
  String(config.configurable?.__pregel_task_id ?? "");

/** Whether the tool would take these arguments: else the model is told, and nothing has been asked of the world. */
export async function acceptsArgs(tool: AnyTool, args: unknown): Promise<boolean> {
  const schema: unknown = "schema" in tool ? tool.schema : undefined;
  if (!isInteropZodSchema(schema)) return true;
  return (await interopSafeParseAsync(schema, args)).success;
}

interface Inside {
  config: Record<string, unknown>;
  /** Whether the end of the attempt may cut the call off. */
  interruptible: boolean;
  see: (returned: unknown) => void;
}

type Config = { configurable?: Record<string, unknown>; config?: Config };
interface Invokable {
  invoke(input: unknown, config?: Config): Promise<unknown>;
  _call(...args: unknown[]): unknown;
}

/**
 * The tool as this call sees it: its config has the key, and what its function returns is seen. LangChain lets go
 * of a call as soon as the run's signal says so, although its function goes on; here its outcome is waited for.
 */
function inside(tool: AnyTool, { config: added, interruptible, see }: Inside): AnyTool {
  const own = tool as unknown as Invokable;
  const signal = interruptible ? {} : { signal: new AbortController().signal };
  const told = (config: Config = {}): Config => ({
    ...config,
    ...signal,
    configurable: { ...config.configurable, ...added },
    ...(config.config === undefined ? {} : { config: told(config.config) }),
  });
  const watched = Object.create(tool) as Invokable;
  watched.invoke = (input, config) => own.invoke.call(watched, input, told(config));
  if (typeof own._call === "function") {
    watched._call = async (...args) => {
      const returned = await own._call(...args);
      see(returned);
      return returned;
    };
  }
  return watched as unknown as AnyTool;
}
