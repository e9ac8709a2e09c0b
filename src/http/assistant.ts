import { getAssistant } from "../db/queries/assistants.ts";
import type { AssistantRow } from "../db/queries/rows.ts";
import { one } from "../db/query.ts";
import { NotFound } from "../domain/errors.ts";
import { systemAssistantId } from "../domain/ids.ts";
import type { HttpDeps } from "./deps.ts";
import { uuid } from "./schemas/common.ts";

/** An assistant by its id, or the system assistant of a graph by the graph's. Throws NotFound. */
export async function findAssistant({ db, registry }: HttpDeps, id: string): Promise<AssistantRow> {
  if (registry.has(id)) {
    const assistantId = systemAssistantId(id);
    return one(await getAssistant(db, { assistantId })) ?? systemAssistant(id, assistantId);
  }
  const parsed = uuid.safeParse(id);
  const found = parsed.success ? one(await getAssistant(db, { assistantId: parsed.data })) : undefined;
  if (found !== undefined && registry.has(found.graph_id)) return found;
  const graphId = registry.graphIds.find((graph) => systemAssistantId(graph) === id);
  if (graphId !== undefined) return systemAssistant(graphId, id);
  throw new NotFound("Assistant not found");
}

/** Another process may not have written the row yet. */
function systemAssistant(graphId: string, assistantId: string): AssistantRow {
  const now = new Date();
  return {
    assistant_id: assistantId,
    graph_id: graphId,
    name: graphId,
    description: null,
    version: 1,
    config: {},
    context: {},
    metadata: { created_by: "system" },
    created_at: now,
    updated_at: now,
  };
}
