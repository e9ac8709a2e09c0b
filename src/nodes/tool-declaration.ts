import { interopParse, isInteropZodSchema } from "@langchain/core/utils/types";
import type { EffectDeclaration } from "../domain/effect.ts";
import { declareEffect } from "../effects/declared.ts";
import { type AnyTool, returnedBy } from "./tool-result.ts";

// biome-ignore lint/suspicious/noExplicitAny: only the first parameter and the result matter here
type Called = (...args: any[]) => any;
type FunctionOf<T> = T extends { func: infer F extends Called } ? F : (input: unknown) => unknown;
/** What the tool's function is given: the schema's output. */
export type ToolArgs<T> = Parameters<FunctionOf<T>>[0];
/** What the tool's function returns. */
export type ToolResult<T> = Returned<Awaited<ReturnType<FunctionOf<T>>>>;
type Returned<R> = R extends AsyncGenerator<unknown, infer Last, unknown> ? Last : R;

/** What an author says about a tool; its name is the tool's own. */
export type ToolDeclaration<A, R> = Omit<EffectDeclaration<A, R>, "name">;

/** On the tool itself, under a shared name: graphs may have loaded another copy of this module. */
const declaredAs = Symbol.for("holdfast.tool");
const nestingMax = 32;

/**
 * Says what a tool does to the world, and so what may be done when a crash leaves a call unclear. Returns the same
 * tool. A tool that nothing is said about is `at_most_once`.
 */
export function declareTool<T extends AnyTool>(
  tool: T,
  declaration: ToolDeclaration<ToolArgs<T>, ToolResult<T>>,
): T {
  const value = asEffect(tool, declaration as ToolDeclaration<unknown, unknown>);
  declareEffect(value);
  Object.defineProperty(tool, declaredAs, { value, configurable: true });
  return tool;
}

/** A tool as the ledger knows it. */
export const effectOf = (tool: AnyTool): EffectDeclaration =>
  (tool as { [declaredAs]?: EffectDeclaration })[declaredAs] ?? { name: tool.name };

/** The ledger keeps the model's arguments; the author's functions get them as the tool does. */
function asEffect(
  tool: AnyTool,
  { lookup, compensate, keyOf, ...said }: ToolDeclaration<unknown, unknown>,
): EffectDeclaration {
  const parsed = (args: unknown): unknown => parsedArgs(tool, args);
  const declared: EffectDeclaration<unknown, unknown> = { ...said, name: tool.name };
  if (keyOf !== undefined) declared.keyOf = (args) => keyOf(parsed(args));
  if (lookup !== undefined) declared.lookup = async (key, args) => lookup(key, parsed(args));
  if (compensate !== undefined) {
    declared.compensate = async ({ args, result, key: madeWith }, key) =>
      compensate({ args: parsed(args), result: returnedBy(result), key: madeWith }, key);
  }
  return declared as unknown as EffectDeclaration;
}

/** What the tool's function is given for these arguments. Throws what the schema says is wrong with them. */
function parsedArgs(tool: AnyTool, args: unknown): unknown {
  const schema: unknown = "schema" in tool ? tool.schema : undefined;
  return isInteropZodSchema(schema) ? interopParse(schema, args) : args;
}

type Node = { bound?: unknown; subgraphs?: unknown[] };
interface Walked {
  nodes?: Record<string, Node>;
  steps?: unknown[];
  tools?: unknown[];
}

/** Every declared tool of a compiled graph and its subgraphs, in whatever tool node it sits. */
export function declarationsOf(graph: unknown): EffectDeclaration[] {
  const found = new Set<EffectDeclaration>();
  const walk = (part: unknown, depth: number): void => {
    if (typeof part !== "object" || part === null || depth > nestingMax) return;
    const { nodes, steps, tools } = part as Walked;
    for (const tool of Array.isArray(tools) ? tools : [])
      if (typeof tool === "object" && tool !== null && declaredAs in tool)
        found.add(effectOf(tool as unknown as AnyTool));
    for (const step of Array.isArray(steps) ? steps : []) walk(step, depth + 1);
    for (const node of Object.values(nodes ?? {}))
      for (const inner of [node.bound, ...(node.subgraphs ?? [])]) walk(inner, depth + 1);
  };
  walk(graph, 0);
  return [...found];
}
