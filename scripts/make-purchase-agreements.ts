/**
 * Writes the sample purchase agreements and their labels: node --import tsx scripts/make-purchase-agreements.ts [OUT_DIR] [SEED]
 * The faults are in the documents: an honest extraction repeats them, and the validator has to say so. Faults of an
 * extraction (a wrong value, an invented quote) are made from the sound samples by the tests.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Extracted } from "../src/domain/finding.ts";
import type { Money } from "../src/domain/money.ts";
import { faultyScenarios } from "./faulty-agreements.ts";
import { type Contingency, type Facts, type Look, writeAgreement } from "./purchase-agreement-text.ts";
import { addDays, makeDice, takeQuotes, wrap } from "./sample-text.ts";
import { soundScenarios } from "./sound-agreements.ts";

export interface SampleLabel {
  /** What the sample is for. */
  about: string;
  business_date: string;
  time_zone: string;
  /** What an honest extraction reads. */
  record: Readonly<Record<string, unknown>>;
  source_record?: Readonly<Record<string, unknown>>;
  expected_findings: readonly { path: string; code: string }[];
}

export interface PurchaseAgreementSample {
  file: string;
  text: string;
  label: SampleLabel;
}

/** What a scenario sets; days are counted from the offer. */
export interface Scenario {
  name: string;
  about: string;
  look: Look;
  /** Typographic quotation marks and non-breaking spaces in the document only. */
  curly?: boolean;
  width?: number;
  offer?: string;
  businessDay?: number;
  timeZone?: string;
  price?: Money;
  priceInWords?: Money;
  /** null: none is paid. */
  earnest?: Money | null;
  contingencyDays?: readonly (readonly [string, number])[];
  closingDay?: number;
  /** Stands where the closing date should be. */
  closingWords?: string;
  buyer?: string;
  /** null: left open. */
  seller?: string | null;
  address?: string | null;
  sourceRecord?: (facts: Facts) => Readonly<Record<string, unknown>>;
  findings?: readonly { path: string; code: string }[];
}

const people = [
  "Dana Whitlock",
  "Marcus Oyelaran",
  "Ingrid Solvang",
  "Teodoro Vasquez-Lund",
  "Priya Ramanathan",
  "Zoë Fjörtoft-Nájera",
  "Harold P. Quimby",
  "Leilani Kahananui",
  "Owen and Beatrix Tarrington",
  "Larkspur Holdings LLC",
  "Samuel O'Dwyer III",
  "Brightwater Homes, Inc.",
  "Noor al-Hashimi",
  "Gwendolyn Ashcroft",
  "The Pemberton Family Trust",
  "Casimir Wojtowicz",
];
const streets = [
  "Alder Creek Road",
  "Juniper Lane",
  "Old Quarry Street",
  "Harbor View Terrace",
  "Maplewood Court",
  "Saddleback Drive",
];
const towns = [
  "Fernhollow, Oregon 97999",
  "Eastmere, Ohio 43999",
  "Port Linden, Maine 04999",
  "Calder Springs, Texas 78999",
  "Windrow, Vermont 05999",
];

const usd = (dollars: number): Money => ({ minor_units: dollars * 100, currency: "USD" });

export function makePurchaseAgreements(seed: number): PurchaseAgreementSample[] {
  return [...soundScenarios, ...faultyScenarios].map((scenario, at) => makeSample(scenario, at, seed));
}

function makeSample(scenario: Scenario, at: number, seed: number): PurchaseAgreementSample {
  const dice = makeDice(seed * 1_000 + at);
  const facts = factsOf(scenario, dice);
  const { text: plain, quotes } = takeQuotes(writeAgreement(facts, scenario.look, dice));
  const wrapped = wrap(plain, scenario.width ?? 88);
  const file = `${String(at + 1).padStart(2, "0")}-${scenario.name}.txt`;
  const label: SampleLabel = {
    about: scenario.about,
    business_date: addDays(facts.offer, scenario.businessDay ?? 2),
    time_zone: scenario.timeZone ?? "America/New_York",
    record: readRecord(facts, quotes, file),
    ...(scenario.sourceRecord ? { source_record: scenario.sourceRecord(facts) } : {}),
    expected_findings: scenario.findings ?? [],
  };
  return { file, text: `${scenario.curly ? typeset(wrapped) : wrapped}\n`, label };
}

function factsOf(scenario: Scenario, dice: ReturnType<typeof makeDice>): Facts {
  const [buyer, seller] = dice.some(people, 2);
  const offer = scenario.offer ?? addDays("2026-01-14", Math.floor(dice.next() * 120));
  const price = scenario.price ?? usd(180_000 + 500 * Math.floor(dice.next() * 1_400));
  const earnest =
    scenario.earnest === undefined ? usd(5_000 + 500 * Math.floor(dice.next() * 20)) : scenario.earnest;
  const address = `${100 + Math.floor(dice.next() * 900)} ${dice.pick(streets)}, ${dice.pick(towns)}`;
  const days = scenario.contingencyDays ?? [
    ["inspection", 12],
    ["financing", 24],
  ];
  return {
    buyer: scenario.buyer ?? buyer,
    seller: scenario.seller === undefined ? seller : (scenario.seller ?? undefined),
    address: scenario.address === undefined ? address : (scenario.address ?? undefined),
    price,
    priceInWords: scenario.priceInWords ?? price,
    earnest: earnest ?? undefined,
    offer,
    contingencies: days.map(([kind, day]): Contingency => ({ kind, date: addDays(offer, day) })),
    closing: scenario.closingWords ?? addDays(offer, scenario.closingDay ?? 45),
  };
}

function readRecord(
  facts: Facts,
  quotes: ReadonlyMap<string, string>,
  source_id: string,
): Record<string, unknown> {
  const read = <V>(field: string, value: V | undefined): Extracted<V> | undefined => {
    const quote = quotes.get(field);
    return value === undefined || quote === undefined ? undefined : { value, quote, source_id };
  };
  return {
    buyer_name: read("buyer_name", facts.buyer),
    seller_name: read("seller_name", facts.seller),
    property_address: read("property_address", facts.address),
    purchase_price: read("purchase_price", facts.price),
    earnest_money: read("earnest_money", facts.earnest),
    offer_date: read("offer_date", facts.offer),
    contingency_dates: facts.contingencies.map(({ kind, date }, at) => ({
      kind,
      ...read(`contingency_dates.${at}`, date),
    })),
    closing_date: read("closing_date", /^\d{4}-/.test(facts.closing) ? facts.closing : undefined),
  };
}

function typeset(text: string): string {
  return text
    .replace(/"(?=\w)/g, "“")
    .replaceAll('"', "”")
    .replaceAll("'", "’")
    .replace(/(?<=\d) (?=[A-Z])/g, "\u00a0");
}

function main(directory = "samples/purchase-agreements", seed = "1"): void {
  mkdirSync(directory, { recursive: true });
  const samples = makePurchaseAgreements(Number(seed));
  for (const { file, text } of samples) writeFileSync(join(directory, file), text);
  const labels = Object.fromEntries(samples.map(({ file, label }) => [file, label]));
  writeFileSync(join(directory, "labels.json"), `${JSON.stringify(labels, null, 2)}\n`);
  console.log(`wrote ${samples.length} agreements to ${directory}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) main(...process.argv.slice(2));
