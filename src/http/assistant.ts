import { getAssistant } from "../db/queries/assistants.ts";
import type { AssistantRow } from "../db/queries/rows.ts";
import { one } from "../db/query.ts";
import { passes } from "../domain/access.ts";
import { NotFound } from "../domain/errors.ts";
import { systemAssistantId } from "../domain/ids.ts";
import type { HttpDeps, Principal } from "./deps.ts";
import { ask } from "./guard.ts";
import { uuid } from "./schemas/common.ts";

interface Asked {
  /** An assistant's id, or a graph's: it stands for the assistant that the graph has by itself. */
  id: string;
  tenant: string;
}

/** The tenant's own assistant, or a graph's. Throws NotFound. */
export async function findAssistant({ db, registry }: HttpDeps, asked: Asked): Promise<AssistantRow> {
  const parsed = uuid.safeParse(registry.has(asked.id) ? systemAssistantId(asked.id) : asked.id);
  if (!parsed.success) throw new NotFound("Assistant not found");
  const assistantId = parsed.data;
  const graphId = registry.graphIds.find((graph) => systemAssistantId(graph) === assistantId);
  const found = one(await getAssistant(db, { assistantId, tenant: asked.tenant }));
  // The id of a graph's assistant is the graph's own, whoever took it before the graph was there.
  if (graphId !== undefined) return found?.system ? found : systemAssistant(graphId, assistantId);
  if (found === undefined || found.system) throw new NotFound("Assistant not found");
  return found;
}

/** The same, as far as the caller may do that with it. Throws NotFound, also for one that is hidden. */
export async function guardAssistant(
  deps: HttpDeps,
  principal: Principal,
  { id, action, value }: { id: string; action: "read" | "update" | "delete"; value: object },
): Promise<AssistantRow> {
  const access = await ask(principal, `assistants:${action}`, Object.assign(value, { assistant_id: id }));
  const assistant = await findAssistant(deps, { id, tenant: principal.tenant });
  if (passes(assistant.metadata, access)) return assistant;
  throw new NotFound("Assistant not found");
}

/**
 * One that the caller may run, and whose graph is there. Throws NotFound: without the graph a run would wait for ever.
 * A graph's own assistant is everybody's: it says nothing that `langgraph.json` does not.
 */
export async function assistantForRun(
  deps: HttpDeps,
  principal: Principal,
  id: string,
): Promise<AssistantRow> {
  const known = deps.systemAssistants.find(id);
  const assistant = known ?? (await findAssistant(deps, { id, tenant: principal.tenant }));
  if (known === undefined) deps.systemAssistants.remember(assistant);
  if (!assistant.system && principal.access !== undefined) {
    const access = await ask(principal, "assistants:read", { assistant_id: assistant.assistant_id });
    if (!passes(assistant.metadata, access)) throw new NotFound("Assistant not found");
  }
  if (!deps.registry.has(assistant.graph_id)) throw new NotFound(`Graph ${assistant.graph_id} not found`);
  return assistant;
}

/** Another process may not have written the row yet. */
function systemAssistant(graphId: string, assistantId: string): AssistantRow {
  const now = new Date();
  return {
    assistant_id: assistantId,
    tenant: "default",
    system: true,
    graph_id: graphId,
    name: graphId,
    description: null,
    version: 1,
    last_version: 1,
    config: {},
    context: {},
    metadata: { created_by: "system" },
    created_at: now,
    updated_at: now,
  };
}
