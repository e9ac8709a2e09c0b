/** "holdfast": all that graphs/ and validators/ may import, and `openServer` for programs that mount the server. */
export { z } from "zod";
export { dateFields, moneyField, nameField } from "./domain/comparison.ts";
export { type IsoDate, isIsoDate } from "./domain/dates.ts";
export type { EffectClass, EffectDeclaration, Looked, Settled } from "./domain/effect.ts";
export { Fatal, NotDone, Transient } from "./domain/errors.ts";
export type { EscalationReason, HumanInterrupt, HumanResponse } from "./domain/escalation.ts";
export {
  extractedDate,
  extractedMoney,
  extractedName,
  isoDateSchema,
  moneySchema,
} from "./domain/extracted.ts";
export {
  blocking,
  type DomainValidator,
  type Evidence,
  type Extracted,
  type Finding,
  type SourceDocument,
  type ValidationContext,
} from "./domain/finding.ts";
export { foldName } from "./domain/fold.ts";
export {
  checkGrounding,
  findQuote,
  type GroundedField,
  indexSources,
  type SourceIndex,
} from "./domain/grounding.ts";
export { contradictions, formatMoney, type Money, sameMoney } from "./domain/money.ts";
export { missingFields, parseOutput } from "./domain/parse-output.ts";
export { type DefinedEffect, defineEffect, type EffectDefinition } from "./effects/define.ts";
export { type EffectOptions, effect } from "./effects/effect.ts";
export { type Filed, fileRecord } from "./effects/filing.ts";
export { type ChatModelOptions, chatModel } from "./models/chat-model.ts";
export { DurableChatModel, type DurableOptions, durableModel } from "./models/durable-model.ts";
export { modelFromEnvironment } from "./models/from-environment.ts";
export { ModelError } from "./models/model-error.ts";
export { extractJson, type JsonAnswer } from "./models/structured.ts";
export { documentBytesMax, documentsMax, listDocuments, readDocument } from "./nodes/document-folder.ts";
export {
  domainValidator,
  type RepairAnswer,
  type RepairRequest,
  type Review,
  type ValidatorOptions,
} from "./nodes/domain-validator.ts";
export { type DurableTools, durableTools } from "./nodes/durable-tools.ts";
export {
  type Decision,
  escalationGate,
  type GatePolicy,
  type GateState,
  gateState,
} from "./nodes/escalation-gate.ts";
export { pause } from "./nodes/pause.ts";
export { documentBlock, repairSections } from "./nodes/prompt.ts";
export { mergeRepaired } from "./nodes/repair.ts";
export { idempotencyKey } from "./nodes/tool-call.ts";
export { declareTool, type ToolDeclaration } from "./nodes/tool-declaration.ts";
export { type ToolNodeOptions, toolNode } from "./nodes/tool-node.ts";
export { freshValidation, latest, type ValidationState, validationState } from "./nodes/validation-state.ts";
export { type OpenedServer, type OpenServerOptions, openServer } from "./open-server.ts";
