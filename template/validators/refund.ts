import { type DomainValidator, parseOutput } from "holdfast";
import { z } from "zod";

export const Refund = z.object({
  order: z.string().min(1),
  paid_cents: z.int().positive(),
  refund_cents: z.int().positive(),
  reason: z.string().min(1),
});
export type Refund = z.infer<typeof Refund>;

/** Nobody gets back more than was paid. */
export const refundRules: DomainValidator<Refund> = {
  name: "refund",
  version: "1.0.0",
  validate(output) {
    const { record, findings } = parseOutput(Refund, output);
    if (!record || record.refund_cents <= record.paid_cents) return findings;
    const message = `${record.refund_cents} cents are asked back, but ${record.paid_cents} were paid.`;
    return [...findings, { path: "refund_cents", code: "above_payment", severity: "error", message }];
  },
};
