import type { Finding, SourceDocument } from "../domain/finding.ts";

/** A document inside a prompt. Its text cannot close the block and go on as an instruction. */
export function documentBlock({ source_id, text }: SourceDocument): string {
  const id = source_id.replaceAll(/["\r\n]/g, "_");
  return `<document id="${id}">\n${text.replaceAll(/<(?=\/document)/gi, "< ")}\n</document>`;
}

/** What a model is told when it is asked again: what was wrong, what it said, and which fields to read again. */
export function repairSections(told: {
  record: unknown;
  findings: readonly Finding[];
  fields: readonly string[];
}): string {
  const findings = told.findings.map(({ path, code, message, repairHint }) => ({
    path,
    code,
    message,
    repairHint,
  }));
  return [
    `<findings>${json(findings)}</findings>`,
    `<previous>${json(told.record ?? {})}</previous>`,
    `<fields>${json(told.fields)}</fields>`,
  ].join("\n");
}

/** JSON that holds no tag: what a document says must not close a section. */
const json = (value: unknown): string => JSON.stringify(value).replaceAll("<", "\\u003c");
