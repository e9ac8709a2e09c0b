import { Annotation } from "@langchain/langgraph";
import { documentBytesMax, documentsMax, Fatal, latest, type SourceDocument, z } from "holdfast";

const nameCharactersMax = 500;
const pauseMsMax = 60_000;
const inlineCharactersMax = 5_000_000;

/** What is kept of a document: enough to see which one to look at. */
export interface DocumentResult {
  source_id: string;
  /** Fields that were found. */
  fields: number;
  /** Blocking findings. */
  findings: number;
  /** Why nothing could be read, if so. */
  error?: string;
}

const Document = z.object({
  source_id: z.string().min(1).max(nameCharactersMax),
  text: z.string().max(documentBytesMax),
});
const Input = z
  .object({
    documents: z.array(Document).max(documentsMax).nullish(),
    folder: z.string().min(1).max(nameCharactersMax).nullish(),
    pause_ms: z.int().min(0).max(pauseMsMax).nullish(),
  })
  .refine(
    ({ documents, folder }) => Boolean(documents) !== Boolean(folder),
    "Expected either documents or a folder.",
  )
  .refine(
    ({ documents }) =>
      (documents ?? []).reduce((sum, { text }) => sum + text.length, 0) <= inlineCharactersMax,
    `Documents given inline hold at most ${inlineCharactersMax} characters in all; put them in a folder.`,
  );

export const BatchState = Annotation.Root({
  /** Given inline: written once, by the input, and never again. */
  documents: Annotation<SourceDocument[] | undefined>,
  /** Or a folder inside DOCUMENTS_DIR; its documents are read when their turn comes. */
  folder: Annotation<string | undefined>,
  /** Waited before each document, to spare a provider or to watch a demo. */
  pause_ms: Annotation<number | undefined>,
  /** The names of the folder's documents when the run began: what is put there later is another run's. */
  files: latest<string[]>([]),
  status: latest<"pending" | "running" | "done">("pending"),
  completed: latest<number>(0),
  total: latest<number>(0),
  results: latest<DocumentResult[]>([]),
});
export type BatchState = typeof BatchState.State;

/** Throws Fatal `invalid_input`: no second attempt mends it. */
export function checkInput(state: BatchState): void {
  const parsed = Input.safeParse(state);
  if (!parsed.success) throw new Fatal(z.prettifyError(parsed.error), { code: "invalid_input" });
}
