import type { AssistantRow } from "../db/queries/rows.ts";

/** How long a process may still believe what it has read. */
const cacheMillis = 5_000;

/** Graphs' own assistants as they were a moment ago: every run asks for one, and only a server that starts changes them. */
export class SystemAssistants {
  readonly #known = new Map<string, { assistant: AssistantRow; until: number }>();

  remember(assistant: AssistantRow): void {
    if (!assistant.system) return;
    const known = { assistant, until: performance.now() + cacheMillis };
    this.#known.set(assistant.assistant_id, known).set(assistant.graph_id, known);
  }

  /** By the assistant's id, or the graph's. */
  find(id: string): AssistantRow | undefined {
    const known = this.#known.get(id);
    return known !== undefined && performance.now() < known.until ? known.assistant : undefined;
  }
}
