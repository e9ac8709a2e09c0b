import { repeatsState } from "../domain/event.ts";
import { type Outcome, valuesTextOf } from "../domain/outcome.ts";
import type { Part, ThreadParts } from "../domain/parts.ts";

interface Event {
  event: string;
  data: string;
}

/** What an outcome shows, in the form in which it is stored. */
export interface StoredTexts {
  /** Of the thread, and what the run gives; null when the outcome shows none. */
  values: string | null;
  interrupts: string | null;
  finalEvents: readonly Event[];
  /** Of these texts, those that are not stored yet. */
  parts: readonly Part[];
}

interface Shown {
  outcome: Outcome;
  finalEvents: readonly Event[];
  /** Where long texts are kept in parts; without it they are stored whole. */
  parts?: ThreadParts;
}

/** Not within a transaction: it may ask the database which parts are there. */
export async function storedTextsOf({ outcome, finalEvents, parts }: Shown): Promise<StoredTexts> {
  const view = "view" in outcome ? outcome.view : undefined;
  const values = view === undefined ? undefined : valuesTextOf(view);
  const interrupts = view === undefined ? null : JSON.stringify(view.interrupts);
  const sending = parts?.open();
  if (sending === undefined) return { values: values ?? null, interrupts, finalEvents, parts: [] };
  const events: Event[] = [];
  for (const { event, data } of finalEvents)
    events.push({ event, data: repeatsState({ event }) ? await sending.cut(event, data) : data });
  return {
    values: values === undefined ? null : await sending.cut("values", values),
    interrupts,
    finalEvents: events,
    parts: sending.parts,
  };
}
