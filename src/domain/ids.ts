import { v5, v7 } from "uuid";

/** Time-ordered id for threads, runs and escalations. */
export const newId = (): string => v7();

/** The namespace the Agent Server derives the ids of system assistants in. */
const assistantNamespace = "6ba7b821-9dad-11d1-80b4-00c04fd430c8";

/** The id of the assistant that every graph has by itself. */
export const systemAssistantId = (graphId: string): string => v5(graphId, assistantNamespace);
