import { Annotation } from "@langchain/langgraph";
import { Fatal, type Filed, gateState, latest, type SourceDocument, validationState, z } from "holdfast";

const documentCharactersMax = 400_000;
const nameCharactersMax = 500;

const Input = z.object({
  document: z.object({
    source_id: z
      .string()
      .min(1)
      .max(nameCharactersMax)
      .regex(/^[^"\r\n]*$/, "Expected no quotation mark or line break."),
    text: z.string().min(1).max(documentCharactersMax),
  }),
  business_date: z.string(),
  time_zone: z.string(),
});

export const ReviewState = Annotation.Root({
  ...validationState,
  ...gateState,
  document: Annotation<SourceDocument>,
  /** ISO date that counts as today, in `time_zone`. */
  business_date: Annotation<string>,
  time_zone: Annotation<string>,
  /** `high` asks a human whatever the validator says; so does the domain `legal`, `financial` or `medical`. */
  stakes: Annotation<string | undefined>,
  domain: Annotation<string | undefined>,
  /** The same sale in another system, to compare with. */
  source_record: Annotation<Record<string, unknown> | undefined>,
  /** What was read: each field with its value and the quote that states it. */
  record: latest<Record<string, unknown>>({}),
  confidence: latest<number | null>(null),
  model_error: latest<string | null>(null),
  filed: latest<Filed | null>(null),
});
export type ReviewState = typeof ReviewState.State;

/** Throws Fatal `invalid_input`: no second attempt mends it. */
export function checkInput(state: ReviewState): void {
  const parsed = Input.safeParse(state);
  if (!parsed.success) throw new Fatal(z.prettifyError(parsed.error), { code: "invalid_input" });
}
