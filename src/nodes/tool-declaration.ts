import { interopParse, isInteropZodSchema } from "@langchain/core/utils/types";
import type { EffectDeclaration, Looked, Settled } from "../domain/effect.ts";
import { type AnyTool, returnedBy } from "./tool-result.ts";

// biome-ignore lint/suspicious/noExplicitAny: only the first parameter and the result matter here
type Called = (...args: any[]) => any;
type FunctionOf<T> = T extends { func: infer F extends Called } ? F : (input: unknown) => unknown;
/** What the tool's function is given: the schema's output. */
export type ToolArgs<T> = Parameters<FunctionOf<T>>[0];
/** What the tool's function returns. */
export type ToolResult<T> = Awaited<ReturnType<FunctionOf<T>>>;

/** What an author says about a tool; its name is the tool's own. */
export type ToolDeclaration<A, R> = Omit<EffectDeclaration<A, R>, "name">;

type Declared = ToolDeclaration<unknown, unknown>;
/** On the tool itself, under a shared name: graphs may have loaded another copy of this module. */
const declaredAs = Symbol.for("holdfast.tool");

/**
 * Says what a tool does to the world, and so what may be done when a crash leaves a call unclear. Returns the same
 * tool. A tool that nothing is said about is `at_most_once`.
 */
export function declareTool<T extends AnyTool>(
  tool: T,
  declaration: ToolDeclaration<ToolArgs<T>, ToolResult<T>>,
): T {
  Object.defineProperty(tool, declaredAs, { value: declaration, configurable: true });
  return tool;
}

export const isDeclared = (tool: unknown): tool is AnyTool =>
  typeof tool === "object" && tool !== null && declaredAs in tool;

/** A tool as the ledger knows it. It keeps the model's arguments; the author's functions get them as the tool does. */
export function effectOf(tool: AnyTool): EffectDeclaration<unknown, unknown> {
  const said = (tool as { [declaredAs]?: Declared })[declaredAs] ?? {};
  const { lookup, compensate, keyOf, ...plain } = said;
  const parsed = (args: unknown): unknown => parsedArgs(tool, args);
  return {
    ...plain,
    name: tool.name,
    ...(keyOf === undefined ? {} : { keyOf: (args) => keyOf(parsed(args)) }),
    ...(lookup === undefined
      ? {}
      : { lookup: (key: string, args: unknown): Promise<Looked> => lookup(key, parsed(args)) }),
    ...(compensate === undefined
      ? {}
      : {
          compensate: (done: Settled<unknown, unknown>, key: string) =>
            compensate({ ...done, args: parsed(done.args), result: returnedBy(done.result) }, key),
        }),
  };
}

/** What the tool's function is given for these arguments. Throws what the schema says is wrong with them. */
function parsedArgs(tool: AnyTool, args: unknown): unknown {
  const schema: unknown = "schema" in tool ? tool.schema : undefined;
  return isInteropZodSchema(schema) ? interopParse(schema, args) : args;
}
