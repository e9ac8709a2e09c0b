import type { RunnableConfig } from "@langchain/core/runnables";
import { END, START, StateGraph } from "@langchain/langgraph";
import {
  blocking,
  documentsMax,
  Fatal,
  listDocuments,
  pause,
  readDocument,
  type SourceDocument,
} from "holdfast";
import { commercialContract } from "../../validators/commercial-contract.ts";
import { readContract } from "./model.ts";
import { BatchState, checkInput, type DocumentResult } from "./state.ts";

/** One step to plan, one for each document, and LangGraph counts the start. */
const stepsMax = documentsMax + 10;

async function plan(state: BatchState): Promise<Partial<BatchState>> {
  checkInput(state);
  const files = state.folder ? await listDocuments(state.folder) : [];
  const total = state.folder ? files.length : (state.documents ?? []).length;
  return { files, total, completed: 0, results: [], status: total === 0 ? "done" : "running" };
}

/** Reads the next document. One step each: what a crash repeats is one document. */
async function read(state: BatchState, config: RunnableConfig): Promise<Partial<BatchState>> {
  await pause(state.pause_ms ?? 0, config.signal);
  const document = await documentAt(state);
  const result = "error" in document ? unread(document) : await readOne(document, config);
  const completed = state.completed + 1;
  const status = completed >= state.total ? "done" : "running";
  return { results: [...state.results, result], completed, status };
}

interface Unread {
  source_id: string;
  error: string;
}

const unread = ({ source_id, error }: Unread): DocumentResult => ({
  source_id,
  fields: 0,
  findings: 1,
  error,
});

async function documentAt({
  folder,
  files,
  documents,
  completed,
}: BatchState): Promise<SourceDocument | Unread> {
  const name = files[completed];
  if (folder && name !== undefined) {
    try {
      return await readDocument({ folder, name });
    } catch (error) {
      // A file that is gone or too large is one document's trouble.
      if (error instanceof Fatal) return { source_id: name, error: error.message };
      throw error;
    }
  }
  const document = documents?.[completed];
  if (document === undefined)
    throw new Fatal(`there is no document ${completed + 1}`, { code: "document_not_found" });
  return document;
}

async function readOne(document: SourceDocument, config: RunnableConfig): Promise<DocumentResult> {
  const { source_id } = document;
  const { record, error } = await readContract(document, config);
  if (error !== null) return unread({ source_id, error });
  // No rule of a commercial contract asks for today's date.
  const context = { sources: [document], businessDate: "1970-01-01", timeZone: "UTC" };
  const findings = blocking(commercialContract.validate(record, context));
  return { source_id, fields: Object.keys(record).length, findings: findings.length };
}

const next = ({ status }: BatchState): "read" | "end" => (status === "running" ? "read" : "end");

/** Reads many contracts, one a step. Callers set `recursion_limit` above the number of documents. */
export const graph = new StateGraph(BatchState)
  .addNode("plan", plan)
  .addNode("read", read)
  .addEdge(START, "plan")
  .addConditionalEdges("plan", next, { read: "read", end: END })
  .addConditionalEdges("read", next, { read: "read", end: END })
  .compile({ name: "document_batch" })
  .withConfig({ recursionLimit: stepsMax });
