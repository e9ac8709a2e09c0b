import { Annotation, END, START, StateGraph } from "@langchain/langgraph";
import { domainValidator, escalationGate, gateState, latest, validationState } from "holdfast";
import { refundRules } from "../../validators/refund.ts";
import { type Sent, sendRefund } from "./send-refund.ts";

const AgentState = Annotation.Root({
  ...validationState,
  ...gateState,
  refund: Annotation<Record<string, unknown>>,
  sent: latest<Sent | null>(null),
});
type AgentState = typeof AgentState.State;

const review = domainValidator<AgentState>(refundRules, {
  output: ({ refund }) => refund,
  update: (refund) => ({ refund }),
  context: () => ({ sources: [], businessDate: "2026-01-01", timeZone: "UTC" }),
});

const gate = escalationGate<AgentState>({
  action: "send_refund",
  title: ({ refund }) => `Refund order ${refund?.order ?? "without a number"}?`,
  review,
});

async function send({ refund }: AgentState): Promise<Partial<AgentState>> {
  return { sent: await sendRefund(refund), status: "sent" };
}

export const builder = new StateGraph(AgentState)
  .addNode("validate", review.validate)
  .addNode("gate", gate)
  .addNode("send", send)
  .addEdge(START, "validate")
  .addEdge("validate", "gate")
  .addConditionalEdges("gate", ({ status }) => (status === "rejected" ? "end" : "send"), {
    end: END,
    send: "send",
  })
  .addEdge("send", END);

/** Checks a refund, asks a human when it is wrong, and sends it once. */
export const graph = builder.compile({ name: "agent" });
