/** Writes short synthetic commercial contracts: node --import tsx scripts/make-contracts.ts OUT_DIR [COUNT] [SEED] */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Extracted } from "../src/domain/finding.ts";
import {
  addDays,
  type DateStyle,
  type Dice,
  makeDice,
  mark,
  takeQuotes,
  wrap,
  writeDate,
} from "./sample-text.ts";

export interface ContractLabel {
  record: {
    document_name: Extracted<string>;
    parties: Extracted<string>[];
    agreement_date: Extracted<string>;
    effective_date?: Extracted<string>;
    expiration_date?: Extracted<string>;
    governing_law: Extracted<string>;
  };
  /** What was planted, if anything. */
  expected_findings: { path: string; code: string }[];
}

export interface MadeContract {
  name: string;
  text: string;
  label: ContractLabel;
}

const contractsMax = 10_000;
const kinds = [
  "Software License Agreement",
  "Master Services Agreement",
  "Distribution Agreement",
  "Equipment Lease Agreement",
  "Consulting Agreement",
  "Supply Agreement",
  "Marketing Agreement",
  "Hosting Agreement",
  "Maintenance Agreement",
  "Reseller Agreement",
];
const firsts = [
  "Bluefinch",
  "Ironvale",
  "Copperline",
  "Northwick",
  "Sablegate",
  "Truewater",
  "Oakmere",
  "Fernwood",
  "Halcyon",
  "Redstone",
];
const seconds = [
  "Systems",
  "Logistics",
  "Biologics",
  "Foods",
  "Analytics",
  "Textiles",
  "Instruments",
  "Energy",
  "Media",
  "Robotics",
];
const forms = ["Inc.", "LLC", "GmbH", "Ltd.", "Corporation"];
const laws = [
  "State of New York",
  "State of Delaware",
  "Commonwealth of Massachusetts",
  "State of California",
  "Province of Ontario",
];
const styles: readonly DateStyle[] = ["us", "uk", "formal", "iso", "us-short"];
const clauses: readonly (readonly [string, string])[] = [
  [
    "Services",
    "The Supplier shall perform with the skill and care that the trade expects, and shall correct at its own cost what does not conform.",
  ],
  [
    "Fees",
    "Invoices are due thirty days after receipt. Amounts in dispute may be withheld until the dispute is settled.",
  ],
  [
    "Confidentiality",
    "Each party shall keep the other's information secret and use it only to perform this Agreement.",
  ],
  [
    "Warranty",
    "Each party warrants that it has the power to make this Agreement and that no other agreement prevents it.",
  ],
  [
    "Liability",
    "Neither party is liable for loss of profit or for consequential loss, except in the case of fraud.",
  ],
  [
    "Termination",
    "Either party may terminate for a material breach that is not cured within thirty days of notice.",
  ],
  ["Assignment", "Neither party may assign this Agreement without the written consent of the other."],
  ["Notices", "Notices must be in writing and are given on delivery to the address on the signature page."],
  ["Force Majeure", "No party is in default while an event beyond its control prevents it from performing."],
];

/** Contracts with their labels; the same seed gives the same contracts. Every tenth expires before it begins. */
export function makeContracts(count: number, seed: number): MadeContract[] {
  return Array.from({ length: Math.min(count, contractsMax) }, (_, at) =>
    makeContract(at, makeDice(seed * 100_003 + at)),
  );
}

function makeContract(at: number, dice: Dice): MadeContract {
  const name = `contract-${String(at + 1).padStart(3, "0")}.txt`;
  const kind = dice.pick(kinds);
  const [one = "", two = ""] = dice
    .some(firsts, 2)
    .map((first) => `${first} ${dice.pick(seconds)} ${dice.pick(forms)}`);
  const signed = addDays("2019-01-02", Math.floor(dice.next() * 2_000));
  const effective = dice.next() < 0.8 ? addDays(signed, Math.floor(dice.next() * 60)) : undefined;
  const ended = at % 10 === 9;
  const end = ended
    ? addDays(signed, -200)
    : addDays(effective ?? signed, 200 + Math.floor(dice.next() * 1_500));
  const expiration = ended || dice.next() < 0.7 ? end : undefined;
  const law = dice.pick(laws);
  const marked = contractText(
    { kind, one, two, signed, effective, expiration, law },
    dice.pick(styles),
    dice,
  );
  const { text, quotes } = takeQuotes(marked);
  const read = (field: string, value: string): Extracted<string> => ({
    value,
    quote: quotes.get(field) ?? "",
    source_id: name,
  });
  const record: ContractLabel["record"] = {
    document_name: read("document_name", kind.toUpperCase()),
    parties: [read("one", one), read("two", two)],
    agreement_date: read("signed", signed),
    ...(effective ? { effective_date: read("effective", effective) } : {}),
    ...(expiration ? { expiration_date: read("expiration", expiration) } : {}),
    governing_law: read("law", law),
  };
  const expected_findings = ended ? [{ path: "expiration_date.value", code: "date_order" }] : [];
  return { name, text: `${wrap(text, 96)}\n`, label: { record, expected_findings } };
}

interface ContractFacts {
  kind: string;
  one: string;
  two: string;
  signed: string;
  effective: string | undefined;
  expiration: string | undefined;
  law: string;
}

function contractText(facts: ContractFacts, style: DateStyle, dice: Dice): string {
  const { kind, one, two, signed, effective, expiration, law } = facts;
  const day = (date: string): string => writeDate(date, style);
  const start = effective
    ? `${mark("effective", `This Agreement takes effect on ${day(effective)}`)} (the "Effective Date").`
    : "This Agreement takes effect when both parties have signed it.";
  const term = expiration
    ? `${start} ${mark("expiration", `It expires on ${day(expiration)}`)} unless it is renewed in writing.`
    : `${start} It continues until a party ends it by ninety days' notice.`;
  const sections: (readonly [string, string])[] = [
    ["Term", term],
    ...dice.some(clauses, 5),
    ["Governing Law", mark("law", `This Agreement is governed by the laws of the ${law}`).concat(".")],
  ];
  return [
    mark("document_name", kind.toUpperCase()),
    "",
    `This ${kind} is ${mark("signed", `entered into on ${day(signed)}`)} between ${mark("one", `${one} ("Supplier")`)} and ${mark("two", `${two} ("Customer")`)}.`,
    "",
    ...sections.flatMap(([title, text], at) => [`${at + 1}. ${title}. ${text}`, ""]),
    `Signed for ${one}: ____________________`,
    `Signed for ${two}: ____________________`,
  ].join("\n");
}

function main(directory?: string, count = "100", seed = "1"): void {
  if (!directory) {
    console.error("usage: make-contracts.ts OUT_DIR [COUNT] [SEED]");
    process.exitCode = 2;
    return;
  }
  mkdirSync(directory, { recursive: true });
  const contracts = makeContracts(Number(count), Number(seed));
  for (const { name, text } of contracts) writeFileSync(join(directory, name), text);
  const labels = Object.fromEntries(contracts.map(({ name, label }) => [name, label]));
  writeFileSync(join(directory, "labels.json"), `${JSON.stringify(labels, null, 2)}\n`);
  console.log(`wrote ${contracts.length} contracts to ${directory}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) main(...process.argv.slice(2));
