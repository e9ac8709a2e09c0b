import secureJson from "secure-json-parse";
import { isRecord, type JsonRecord } from "./repair.ts";

/** The record that an edit asks for: what was shown, with the edited fields in it. Null when the edit is none. */
export function editedArgs(shown: JsonRecord, args: unknown): Record<string, unknown> | null {
  const edits = isRecord(args) && typeof args.action === "string" && isRecord(args.args) ? args.args : args;
  if (!isRecord(edits)) return null;
  const entries = Object.entries(edits).map(([field, value]): [string, unknown] => [
    field,
    asShown(Object.hasOwn(shown, field) ? shown[field] : undefined, value),
  ]);
  return Object.fromEntries([...Object.entries(shown), ...entries]);
}

/** Agent Inbox edits everything as text: what was no text when it was shown comes back as its JSON. */
function asShown(shown: unknown, edited: unknown): unknown {
  if (typeof edited !== "string" || typeof shown === "string" || shown === undefined) return edited;
  const parsed: unknown = secureJson.safeParse(edited);
  // A text that is not JSON stays one, and the validator says what is wrong with it.
  return parsed === undefined || (parsed === null && edited.trim() !== "null") ? edited : parsed;
}
