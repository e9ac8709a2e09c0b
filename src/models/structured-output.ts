import type { StructuredOutputMethodOptions, ToolDefinition } from "@langchain/core/language_models/base";
import type { BaseChatModel } from "@langchain/core/language_models/chat_models";
import {
  createContentParser,
  createFunctionCallingParser,
} from "@langchain/core/language_models/structured_output";
import type { BaseLLMOutputParser } from "@langchain/core/output_parsers";
import { toJsonSchema } from "@langchain/core/utils/json_schema";
import { getSchemaDescription, isInteropZodSchema } from "@langchain/core/utils/types";
import { InvalidInput } from "../domain/errors.ts";

type Schema = Parameters<BaseChatModel["withStructuredOutput"]>[0];

interface Structured {
  parser: BaseLLMOutputParser<unknown>;
  /** Where the object travels as a tool's arguments. */
  tool?: ToolDefinition;
  responseFormat?: Record<string, unknown>;
}

/** How an object of the schema is asked for and read. */
export function structured(
  schema: Schema,
  { method, name: given, strict }: StructuredOutputMethodOptions<boolean>,
): Structured {
  const parser = (): BaseLLMOutputParser<unknown> => createContentParser(schema as never) as never;
  if (method === "jsonMode") return { parser: parser(), responseFormat: { type: "json_object" } };
  const parameters = isInteropZodSchema(schema) ? toJsonSchema(schema) : (schema as Record<string, unknown>);
  const name = given ?? (typeof parameters.title === "string" ? parameters.title : "extract");
  if (method === "jsonSchema") {
    const json_schema = { name, schema: parameters, ...(strict === undefined ? {} : { strict }) };
    return { parser: parser(), responseFormat: { type: "json_schema", json_schema } };
  }
  if (method !== undefined && method !== "functionCalling")
    throw new InvalidInput(`method: "${method}" is none of functionCalling, jsonSchema, jsonMode`, {
      field: "method",
    });
  const description = getSchemaDescription(schema as never) ?? "The answer, as an object.";
  return {
    parser: createFunctionCallingParser(schema as never, name) as never,
    tool: { type: "function", function: { name, description, parameters } },
  };
}
