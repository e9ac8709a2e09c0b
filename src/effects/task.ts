import type { RunnableConfig } from "@langchain/core/runnables";

/** Where in a run some code is being executed. */
export interface TaskPlace {
  taskId: string;
  /** Which execution of the task this is: a retry of LangGraph's own asks for the same things again. */
  execution: number;
  /** The checkpoint that the task runs on. Without it in the database, its id is another one on the next attempt. */
  checkpoint: { ns: string; id: string };
  /** The task of the run's own graph that all this happens in: its checkpoint is always there. */
  rootTaskId: string;
}

interface Executed {
  executionInfo?: { taskId?: string; nodeAttempt?: number };
}

/** The place of a config of LangGraph's; undefined outside a node. `more` is searched first. */
export function taskPlace(config: RunnableConfig | undefined, more: object): TaskPlace | undefined {
  const {
    __pregel_task_id: childTaskId,
    checkpoint_ns: own,
    checkpoint_map: map,
  } = (config?.configurable ?? {}) as {
    __pregel_task_id?: string;
    checkpoint_ns?: string;
    checkpoint_map?: Record<string, string>;
  };
  // A child's config has no execution info, but still the task's id.
  const told = (more as Executed).executionInfo ?? (config as Executed | undefined)?.executionInfo;
  const taskId = told?.taskId ?? childTaskId;
  if (taskId === undefined) return undefined;
  // A task's namespace is its checkpoint's with the task behind it; the map has the checkpoint of each namespace.
  const path = (own ?? "").split("|");
  const ns = path.slice(0, -1).join("|");
  return {
    taskId,
    execution: told?.nodeAttempt ?? 1,
    checkpoint: { ns, id: map?.[ns] ?? "" },
    rootTaskId: path[0]?.split(":").at(-1) || taskId,
  };
}
