import { z } from "zod";
import { isIsoDate } from "./dates.ts";

const quoteCharactersMax = 10_000;
const nameCharactersMax = 1_000;

const origin = {
  quote: z.string().min(1).max(quoteCharactersMax),
  source_id: z.string().min(1).max(nameCharactersMax),
};

export const isoDateSchema = z.string().refine(isIsoDate, "Expected a calendar date written yyyy-mm-dd.");

export const extractedDate = z.object({ value: isoDateSchema, ...origin });

export const extractedName = z.object({ value: z.string().trim().min(1).max(nameCharactersMax), ...origin });

/** An amount above zero, in minor units. */
export const moneySchema = z.object({
  minor_units: z.int().positive(),
  currency: z.string().regex(/^[A-Z]{3}$/, "Expected an ISO 4217 code such as USD."),
});

export const extractedMoney = z.object({ value: moneySchema, ...origin });
