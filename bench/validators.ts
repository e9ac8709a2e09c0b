/**
 * Measures the validators on the CUAD development split: CUAD_DIR=… npm run bench:validators
 * Every figure comes through `commercialContract.validate`, but the quotes of the categories it has no field for.
 */

import { nameField } from "../src/domain/comparison.ts";
import { readDate } from "../src/domain/dates.ts";
import type { DomainValidator, Extracted, Finding } from "../src/domain/finding.ts";
import { checkGrounding, indexSources } from "../src/domain/grounding.ts";
import { type CommercialContract, commercialContract } from "../validators/commercial-contract.ts";
import { type CuadContract, categories, readCuad } from "./cuad.ts";

const millisecondsMax = 20;
const caughtMin = 0.995;
const dateFields = {
  agreement_date: "Agreement Date",
  effective_date: "Effective Date",
  expiration_date: "Expiration Date",
} as const;
type DateField = keyof typeof dateFields;
const dateFieldNames = Object.keys(dateFields) as DateField[];

interface Row {
  measure: string;
  figure: string;
  target: string;
  missed: boolean;
}

const extracted = (source_id: string, value: string, quote: string): Extracted<string> => ({
  value,
  quote,
  source_id,
});

/** The gold answer "7/3/2019" as an ISO date; null where the label is not one full date. */
function goldDate(answer: string): string | null {
  const parts = /^(\d{1,2})\/(\d{1,2})\/(\d{4})$/.exec(answer.trim());
  return parts ? iso(Number(parts[3]), Number(parts[1]), Number(parts[2])) : null;
}

function iso(year: number, month: number, day: number): string | null {
  const time = new Date(Date.UTC(year, month - 1, day));
  return time.getUTCMonth() === month - 1 && time.getUTCDate() === day
    ? time.toISOString().slice(0, 10)
    : null;
}

/** What a perfect extraction of the contract would hold: label answers with the labelled spans as quotes. */
function goldRecord(contract: CuadContract): CommercialContract {
  const { file, spans, answer } = contract;
  const named = (category: string): Extracted<string> | undefined => {
    const [span] = spans(category);
    return span === undefined ? undefined : extracted(file, span.slice(0, 1_000), span);
  };
  const record: CommercialContract = {
    document_name: named("Document Name"),
    governing_law: named("Governing Law"),
    parties: spans("Parties").map((span) => extracted(file, span.slice(0, 1_000), span)),
  };
  for (const field of dateFieldNames) {
    const quotes = spans(dateFields[field]);
    const value = goldDate(answer(dateFields[field]));
    const quote = quotes.find((span) => readDate(span) !== null) ?? quotes[0];
    if (value && quote) record[field] = extracted(file, value, quote);
  }
  return record;
}

const codesAt = (findings: readonly Finding[], path: string): string[] =>
  findings.filter((finding) => finding.path === path && finding.severity === "error").map(({ code }) => code);

const validate = (contract: CuadContract, record: CommercialContract): Finding[] =>
  (commercialContract as DomainValidator<CommercialContract>).validate(record, {
    sources: [{ source_id: contract.file, text: contract.text }],
    businessDate: "2026-01-01",
    timeZone: "UTC",
  });

function quoteCheck(contracts: readonly CuadContract[]): Row[] {
  let quotes = 0;
  let elided = 0;
  const alarms: string[] = [];
  for (const contract of contracts) {
    const sources = [{ source_id: contract.file, text: contract.text }];
    const spans = [...new Set(categories.flatMap(contract.spans))];
    const fields = spans.map((span, at) => ({
      path: String(at),
      extracted: extracted(contract.file, span, span),
      compare: () => ({ status: "equal" }) as const,
    }));
    const findings = [
      ...checkGrounding(fields, indexSources(sources)),
      ...validate(contract, goldRecord(contract)).filter(({ path }) => path.endsWith(".quote")),
    ];
    quotes += spans.length;
    elided += new Set(findings.filter(({ code }) => code === "quote_elided").map(({ message }) => message))
      .size;
    const messages = findings
      .filter(({ code }) => code === "quote_not_in_source")
      .map(({ message }) => message);
    alarms.push(...new Set(messages));
  }
  for (const alarm of alarms.slice(0, 10)) console.log(`  ${alarm}`);
  const count = `${alarms.length} of ${quotes} (${elided} elided)`;
  return [
    { measure: "(a) false alarms on gold quotes", figure: count, target: "0", missed: alarms.length > 0 },
  ];
}

interface Dated {
  contract: CuadContract;
  record: CommercialContract;
  field: DateField;
  gold: string;
}

/** The gold dates that agree with their own quote, which states one date; and how the others fail. */
function agreement(contracts: readonly CuadContract[]): { rows: Row[]; agreeing: Dated[] } {
  const agreeing: Dated[] = [];
  const rows = dateFieldNames.map((field) => {
    const tally = { agrees: 0, differs: 0, ambiguous: 0, "no date": 0 };
    for (const contract of contracts) {
      const record = goldRecord(contract);
      const date = record[field];
      if (!date) continue;
      const reading = readDate(date.quote);
      const errors = codesAt(validate(contract, record), `${field}.value`);
      if (!reading) tally["no date"] += 1;
      else if (errors.includes("ambiguous_date")) tally.ambiguous += 1;
      else if (errors.includes("value_differs_from_quote")) tally.differs += 1;
      else tally.agrees += 1;
      const single = reading && reading.kind !== "several";
      const right = !errors.includes("value_differs_from_quote");
      if (single && right) agreeing.push({ contract, record, field, gold: date.value });
    }
    const dates = Object.values(tally).reduce((sum, count) => sum + count, 0);
    const detail = Object.entries(tally).map(([name, count]) => `${name} ${count}`);
    const figure = `${share(tally.agrees, dates)} of ${dates}: ${detail.join(", ")}`;
    return { measure: `(b) ${field} against its own quote`, figure, target: "-", missed: false };
  });
  return { rows, agreeing };
}

const parts = (date: string): [number, number, number] => {
  const [year = 0, month = 0, day = 0] = date.split("-").map(Number);
  return [year, month, day];
};
const wrongDates: Readonly<Record<string, (date: string) => (string | null)[]>> = {
  day: (date) => {
    const [year, month, day] = parts(date);
    return [iso(year, month, day - 1), iso(year, month, day + 1)];
  },
  month: (date) => {
    const [year, month, day] = parts(date);
    return [-1, 1].map((by) => iso(year, month + by, day) ?? iso(year, month + by, 28));
  },
  year: (date) => {
    const [year, month, day] = parts(date);
    return [-1, 1].map((by) => iso(year + by, month, day) ?? iso(year + by, month, 28));
  },
  "day and month swapped": (date) => {
    const [year, month, day] = parts(date);
    return day === month ? [] : [iso(year, day, month)];
  },
};

function injected(agreeing: readonly Dated[]): Row[] {
  return Object.entries(wrongDates).map(([kind, wrongs]) => {
    let tried = 0;
    let caught = 0;
    let flagged = 0;
    for (const { contract, record, field, gold } of agreeing) {
      for (const value of wrongs(gold)) {
        const date = record[field];
        if (!value || !date) continue;
        const codes = codesAt(
          validate(contract, { ...record, [field]: { ...date, value } }),
          `${field}.value`,
        );
        tried += 1;
        if (codes.includes("value_differs_from_quote")) caught += 1;
        else if (codes.includes("ambiguous_date")) flagged += 1;
      }
    }
    const isSwap = kind.includes("swapped");
    const ratio = (caught + (isSwap ? flagged : 0)) / tried;
    const figure = `${share(caught, tried)}: ${caught} of ${tried}, flagged ambiguous ${flagged}`;
    const target = isSwap ? "100 % caught or flagged" : ">= 99.5 %";
    const missed = !(ratio >= (isSwap ? 1 : caughtMin));
    return { measure: `(c) injected error: ${kind}`, figure, target, missed };
  });
}

/** First run, so the slowest contract pays for the cold start as a first request would. */
function timing(contracts: readonly CuadContract[]): Row[] {
  const times = contracts.map((contract) => {
    const record = goldRecord(contract);
    const start = performance.now();
    validate(contract, record);
    return performance.now() - start;
  });
  times.sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)] ?? 0;
  const slowest = times.at(-1) ?? 0;
  const figure = `p50 ${median.toFixed(1)}, max ${slowest.toFixed(1)}`;
  const target = `max < ${millisecondsMax}`;
  return [{ measure: "(d) milliseconds per contract", figure, target, missed: slowest >= millisecondsMax }];
}

const longCharacters = 300_000;

/** One contract of 300 kB made of several, with all their quotes. */
function longContract(contracts: readonly CuadContract[]): Row[] {
  let text = "";
  const quotes: string[] = [];
  for (const contract of contracts) {
    if (text.length >= longCharacters) break;
    text += contract.text;
    quotes.push(...categories.flatMap(contract.spans));
  }
  const start = performance.now();
  const fields = quotes.map((quote, at) => nameField(String(at), extracted("long", quote, quote)));
  checkGrounding(fields, indexSources([{ source_id: "long", text }]));
  const took = performance.now() - start;
  const measure = `(d) milliseconds for ${Math.round(text.length / 1_000)} kB`;
  const figure = `${took.toFixed(1)} for ${quotes.length} quotes`;
  return [{ measure, figure, target: `< ${millisecondsMax}`, missed: took >= millisecondsMax }];
}

function share(part: number, whole: number): string {
  return whole === 0 ? "none" : `${((100 * part) / whole).toFixed(1)} %`;
}

function main(directory: string | undefined): number {
  if (!directory) {
    console.log("skipped: CUAD_DIR is not set");
    return 0;
  }
  const contracts = readCuad(directory);
  const times = timing(contracts);
  const { rows, agreeing } = agreement(contracts);
  const table = [
    ...quoteCheck(contracts),
    ...rows,
    ...injected(agreeing),
    ...times,
    ...longContract(contracts),
  ];
  console.log(
    `CUAD development split: ${contracts.length} contracts, ${agreeing.length} dates with a reading of their own\n`,
  );
  for (const { measure, figure, target, missed } of table)
    console.log(`${missed ? "MISS" : " ok "}  ${measure.padEnd(44)} ${figure.padEnd(62)} ${target}`);
  return table.some(({ missed }) => missed) ? 1 : 0;
}

process.exitCode = main(process.env.CUAD_DIR);
