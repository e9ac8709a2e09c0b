import type { EscalationReason } from "../domain/escalation.ts";
import type { Evidence, Finding, SourceDocument } from "../domain/finding.ts";

const findingsShownMax = 30;
const quoteCharactersMax = 300;

export interface Explained {
  title: string;
  /** What became of the previous answer. */
  notice: string | null;
  reasons: readonly EscalationReason[];
  findings: readonly Finding[];
  sources: readonly SourceDocument[];
}

/** Why a human is asked, as markdown: the reasons, then each finding with the words it rests on. */
export function explain({ title, notice, reasons, findings, sources }: Explained): string {
  const lines = [`## ${inert(title)}`, ""];
  if (notice !== null) lines.push(`**${inert(notice)}**`, "");
  lines.push("### Why you are asked", ...reasons.map(({ message }) => `- ${inert(message)}`));
  if (findings.length > 0) lines.push("", "### Findings");
  for (const finding of findings.slice(0, findingsShownMax)) lines.push(...findingLines(finding, sources));
  if (findings.length > findingsShownMax) lines.push(`- and ${findings.length - findingsShownMax} more`);
  return lines.join("\n");
}

function findingLines(finding: Finding, sources: readonly SourceDocument[]): string[] {
  const { path, code, severity, message, evidence } = finding;
  const place = path === "" ? "the whole record" : `\`${path.replaceAll(/[`\s]/g, " ")}\``;
  const line = `- ${severity === "error" ? "**blocks**" : "warns"} ${place}, ${inert(code)}: ${inert(message)}`;
  const quote = evidence === undefined ? null : quoteOf(evidence, sources);
  return quote === null ? [line] : [line, `  > ${quote}`];
}

function quoteOf({ source_id, start, end }: Evidence, sources: readonly SourceDocument[]): string | null {
  const text = sources.find((source) => source.source_id === source_id)?.text;
  if (text === undefined) return null;
  const flat = text.slice(start, end).replaceAll(/\s+/g, " ");
  const quote = flat.length > quoteCharactersMax ? `${flat.slice(0, quoteCharactersMax - 1)}…` : flat;
  return `${inert(quote)} (${inert(source_id)}, characters ${start} to ${end})`;
}

/** A document's words are to be read, not rendered: an image in them would call home from the reviewer's browser. */
const inert = (text: string): string =>
  text
    .replaceAll(/\s+/g, " ")
    .replaceAll(/[\\`*_{}[\]<>#!|~]/g, "\\$&")
    .replaceAll("://", ":\\//");
