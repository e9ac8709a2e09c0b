import type { ToolMessage } from "@langchain/core/messages";
import type { ToolCall } from "@langchain/core/messages/tool";
import { type Command, getConfig, type LangGraphRunnableConfig } from "@langchain/langgraph";
import { acceptsArgs, callOnce, taskIdOf } from "./tool-call.ts";
import { effectOf } from "./tool-declaration.ts";
import { errorMessage, isForTheModel } from "./tool-error.ts";
import { type AnyTool, withId } from "./tool-result.ts";

interface Asked {
  toolCall: ToolCall;
  tool: unknown;
}
type Handler<R> = (request: R) => ToolMessage | Command | Promise<ToolMessage | Command>;

/** A middleware for `createAgent` of the `langchain` package, in the shape that it asks for. */
export interface DurableTools {
  name: string;
  // biome-ignore lint/suspicious/noExplicitAny: the request belongs to that package, which we do not depend on
  wrapToolCall(request: any, handler: Handler<any>): Promise<ToolMessage | Command>;
}

/**
 * Makes each tool call of a `createAgent` once: `createAgent({ model, tools, middleware: [durableTools()] })`. Put it
 * first: what wraps a call outside of it is repeated with the step.
 */
export function durableTools(): DurableTools {
  return { name: "DurableTools", wrapToolCall: (request, handler) => wrap(request as Asked, handler) };
}

async function wrap<R extends Asked>(request: R, handler: Handler<R>): Promise<ToolMessage | Command> {
  const { tool: asked, toolCall: call } = request;
  if (asked === undefined) return handler(request);
  const tool = asked as AnyTool;
  if (!(await acceptsArgs(tool, call.args))) return handler(request);
  const config = getConfig() as LangGraphRunnableConfig;
  const invoke = async (watched: AnyTool): Promise<unknown> => handler({ ...request, tool: watched });
  try {
    return await callOnce({ tool, call, config, invoke });
  } catch (error) {
    if (!isForTheModel(error, effectOf(tool).class)) throw error;
    return withId(errorMessage(error, call), taskIdOf(config), call);
  }
}
