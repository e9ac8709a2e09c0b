import type { RunnableConfig } from "@langchain/core/runnables";
import { END, START, StateGraph } from "@langchain/langgraph";
import { domainValidator, effect, escalationGate, fileRecord, freshValidation } from "holdfast";
import { realEstate } from "../../validators/real-estate.ts";
import { readAgreement } from "./model.ts";
import { checkInput, ReviewState } from "./state.ts";

const review = domainValidator<ReviewState>(realEstate, {
  repair: 2,
  output: ({ record }) => record,
  update: (record) => ({ record }),
  context: ({ document, business_date, time_zone, source_record }) => ({
    sources: [document],
    businessDate: business_date,
    timeZone: time_zone,
    ...(source_record ? { record: source_record } : {}),
  }),
});

const gate = escalationGate<ReviewState>({
  action: "file_record",
  title: ({ document }) => `File the record of ${document.source_id}?`,
  review,
  policy: ({ model_error }) => (model_error ? [{ code: "bad_answer", message: model_error }] : []),
  slaSeconds: 4 * 3600,
});

async function extract(state: ReviewState, config: RunnableConfig): Promise<Partial<ReviewState>> {
  checkInput(state);
  const reading = await readAgreement({ document: state.document }, config);
  return {
    ...freshValidation,
    ...reading,
    status: "open",
    decision: null,
    escalation_reasons: [],
    filed: null,
  };
}

const repair = review.repair(async ({ state, record, findings, fields }, config) => {
  const told = { document: state.document, repair: { record, findings, fields } };
  const { record: repaired, ...update } = await readAgreement(told, config);
  return { record: repaired, update };
});

async function file({ document, record, decision }: ReviewState): Promise<Partial<ReviewState>> {
  const args = { source_id: document.source_id, record, decision };
  // The store honours the key, so a call that a crash hid may be sent again.
  const filed = await effect({ name: "file_record", args, class: "idempotent" }, (key) =>
    fileRecord({ key, record: args }),
  );
  return { filed, status: "filed" };
}

/** Reads a purchase agreement, checks it, asks a human where it must, and files the record once. */
export const graph = new StateGraph(ReviewState)
  .addNode("extract", extract)
  .addNode("validate", review.validate)
  .addNode("repair", repair)
  .addNode("gate", gate)
  .addNode("file", file)
  .addEdge(START, "extract")
  .addEdge("extract", "validate")
  .addConditionalEdges("validate", review.route, { pass: "gate", repair: "repair", gate: "gate" })
  .addEdge("repair", "validate")
  .addConditionalEdges("gate", ({ status }) => (status === "rejected" ? "end" : "file"), {
    end: END,
    file: "file",
  })
  .addEdge("file", END)
  .compile({ name: "contract_review" });
