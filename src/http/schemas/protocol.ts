import { isSupportedChannel } from "@langchain/langgraph/stream";
import { z } from "zod";
import { multitaskStrategies } from "../../domain/run.ts";
import { nameCharsMax, openRecord } from "./common.ts";

const listMax = 100;
const depthMax = 64;

const channel = z
  .string()
  .max(nameCharsMax)
  .refine(
    isSupportedChannel,
    "no channel of the protocol: values, updates, messages, tools, lifecycle, input, checkpoints, tasks, custom, custom:<name>",
  );

/** What a client wants to see of a thread, and from where. */
export const eventFilter = z.strictObject({
  channels: z.array(channel).min(1).max(listMax),
  namespaces: z
    .array(z.array(z.string().max(2 * nameCharsMax)).max(depthMax))
    .max(listMax)
    .nullish(),
  depth: z.number().int().min(0).max(depthMax).nullish(),
  since: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).nullish(),
  since_event_id: z.string().max(nameCharsMax).nullish(),
});
export type EventFilter = z.infer<typeof eventFilter>;

/** The envelope of every command. */
export const commandBody = z.object({
  id: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  method: z.string().max(nameCharsMax),
  params: openRecord.nullish(),
});
export type Command = z.infer<typeof commandBody>;

const text = z.string().min(1).max(nameCharsMax);
const config = openRecord.nullish();

/** Checked further as the body of a run. */
export const runStartParams = z.object({
  assistant_id: text,
  input: z.unknown().optional(),
  config,
  metadata: openRecord.nullish(),
  multitaskStrategy: z.enum(multitaskStrategies).nullish(),
});

const answer = z.object({ interrupt_id: text, response: z.unknown().optional() });
const answersMax = 100;
export const respondParams = z
  .object({
    interrupt_id: text.nullish(),
    response: z.unknown().optional(),
    responses: z.array(answer).min(1).max(answersMax).nullish(),
    update: z.unknown().optional(),
    goto: z.unknown().optional(),
    config,
    metadata: openRecord.nullish(),
  })
  .refine(({ interrupt_id, responses }) => (interrupt_id == null) !== (responses == null), {
    message: "send interrupt_id with response, or responses",
  });

const keysMax = 1_000;
export const stateParams = z.object({ keys: z.array(z.string().max(nameCharsMax)).max(keysMax).nullish() });

export const unsubscribeParams = z.object({ subscription_id: text });
