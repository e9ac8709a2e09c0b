import type { Money } from "../src/domain/money.ts";
import { type DateStyle, type Dice, type MoneyStyle, mark, writeDate, writeMoney } from "./sample-text.ts";

export interface Contingency {
  kind: string;
  date: string;
}

/** All that a document states. An absent field is left open in the document. */
export interface Facts {
  buyer?: string | undefined;
  seller?: string | undefined;
  address?: string | undefined;
  price: Money;
  priceInWords: Money;
  earnest?: Money | undefined;
  offer: string;
  contingencies: readonly Contingency[];
  /** An ISO date, or the words that stand where the date should be. */
  closing: string;
}

export type Layout = "form" | "recital" | "letter" | "deed";

export interface Look {
  layout: Layout;
  money: MoneyStyle;
  date: DateStyle;
  /** Another way of writing single dates, by field. */
  dates?: Readonly<Record<string, DateStyle>> | undefined;
}

const blank = "________________________";

const boilerplate: readonly (readonly [string, string])[] = [
  [
    "Title",
    "Seller shall convey marketable title by general warranty deed, free of liens and encumbrances other than recorded easements, covenants and restrictions that do not materially affect the use of the Property as a residence.",
  ],
  [
    "Condition of the Property",
    "Seller shall keep the Property in its present condition, ordinary wear and tear excepted, and shall maintain the lawn, the heating and the plumbing until possession is delivered.",
  ],
  [
    "Fixtures",
    "All fixtures, built-in appliances, window coverings, garage door openers and attached shelving pass with the Property unless excluded in writing.",
  ],
  [
    "Risk of Loss",
    "Risk of loss by fire or other casualty remains with Seller until the deed is delivered. If the Property is materially damaged, Buyer may cancel this Agreement and recover the deposit.",
  ],
  [
    "Prorations",
    "Taxes, rents, association dues and utility charges shall be prorated through the day of closing on the basis of a calendar year.",
  ],
  [
    "Disclosures",
    "Seller has delivered the property condition statement required by law and, if the dwelling is old enough to require it, the lead-based paint pamphlet.",
  ],
  [
    "Default by Buyer",
    "If Buyer fails to perform, Seller may keep the deposit as liquidated damages, which the parties agree is a reasonable estimate of a loss that is hard to prove.",
  ],
  [
    "Default by Seller",
    "If Seller fails to perform, Buyer may demand the return of the deposit, or may seek specific performance of this Agreement, but not both.",
  ],
  [
    "Notices",
    "Notices must be in writing and are given when delivered by hand, by a courier that keeps records, or by electronic mail with confirmation of receipt.",
  ],
  [
    "Assignment",
    "Buyer may not assign this Agreement without the written consent of Seller, which shall not be unreasonably withheld.",
  ],
  [
    "Entire Agreement",
    "This Agreement is the whole agreement of the parties on its subject and replaces every earlier discussion. It may be changed only by a writing that both parties sign.",
  ],
  [
    "Severability",
    "If a court finds any provision of this Agreement unenforceable, the remaining provisions stay in effect to the fullest extent permitted by law.",
  ],
  [
    "Time",
    "Time is of the essence. A deadline that falls on a day when the recording office is closed moves to the next day on which it is open.",
  ],
  [
    "Brokers",
    "Each party represents that it dealt with no broker other than those named on the signature page, whose commissions Seller shall pay from the proceeds.",
  ],
  [
    "Survey",
    "Buyer may obtain a survey at its own expense. An encroachment shown by the survey is an objection to title if Buyer gives notice of it before the deed is delivered.",
  ],
  [
    "Possession",
    "Possession shall be delivered when the deed is recorded, with all keys, codes and remote controls, and with the Property swept clean.",
  ],
  [
    "Counterparts",
    "This Agreement may be signed in counterparts and by electronic signature, each of which is an original and all of which are one instrument.",
  ],
  [
    "Mediation",
    "The parties shall first try to settle a dispute through mediation and shall share the cost of the mediator equally.",
  ],
  [
    "Insulation and Energy",
    "Seller makes no representation on the thickness of the insulation or the cost of heating and cooling, and Buyer relies on its own inspection.",
  ],
  [
    "Walk-Through",
    "Buyer may walk through the Property within two days before closing to confirm that it is in the condition this Agreement requires.",
  ],
];

/** Writes one agreement with the words of each field marked. */
export function writeAgreement(facts: Facts, look: Look, dice: Dice): string {
  const number = clauseNumbers();
  const body = [
    ...(look.layout === "form" ? [] : [`${number()} Property. ${property(facts)}`]),
    `${number()} Purchase Price. ${price(facts, look, dice)}`,
    ...(facts.earnest ? [`${number()} Earnest Money. ${earnest(facts.earnest, look, dice)}`] : []),
    contingencies(facts, look, number, dice),
    `${number()} Closing. ${closing(facts, look, dice)}`,
    ...dice
      .some(boilerplate, 10 + Math.floor(dice.next() * 5))
      .map(([title, text]) => `${number()} ${title}. ${text}`),
  ];
  return [preamble(facts, look), ...body.filter((clause) => clause !== ""), signatures(facts)].join("\n\n");
}

function clauseNumbers(): () => string {
  let last = 0;
  return () => {
    last += 1;
    return `${last}.`;
  };
}

function dated(field: string, date: string, look: Look): string {
  return writeDate(date, look.dates?.[field] ?? look.date);
}

function preamble(facts: Facts, look: Look): string {
  const offer = dated("offer_date", facts.offer, look);
  const { buyer = blank, seller = blank, address = blank } = facts;
  const layouts: Readonly<Record<Layout, string[]>> = {
    form: [
      "RESIDENTIAL REAL ESTATE PURCHASE AND SALE CONTRACT",
      "",
      mark("buyer_name", `Buyer: ${buyer}`),
      mark("seller_name", `Seller: ${seller}`),
      mark("property_address", `Property: ${address}`),
      mark("offer_date", `Date of Offer: ${offer}`),
      "",
      "Buyer agrees to buy and Seller agrees to sell the property described above on the following terms.",
    ],
    recital: [
      "REAL ESTATE PURCHASE AGREEMENT",
      "",
      `This Real Estate Purchase Agreement (this "Agreement") is ${mark("offer_date", `made as of ${offer}`)} by and between ${mark("seller_name", `${seller} ("Seller")`)} and ${mark("buyer_name", `${buyer} ("Buyer")`)}. Seller and Buyer are each a "Party" and together the "Parties".`,
    ],
    letter: [
      "OFFER TO PURCHASE REAL PROPERTY",
      "",
      mark("offer_date", `Offer date: ${offer}`),
      "",
      `The undersigned, ${mark("buyer_name", `${buyer} (the "Buyer")`)}, offers to purchase from ${mark("seller_name", `${seller} (the "Seller")`)} the real property described below. Upon acceptance by Seller this offer becomes a binding contract.`,
    ],
    deed: [
      "CONTRACT FOR THE SALE OF A DWELLING",
      "",
      `THIS CONTRACT is ${mark("offer_date", `dated ${offer}`)}`,
      "",
      "BETWEEN:",
      `(1) ${mark("seller_name", `${seller}, as seller`)} ("Seller"); and`,
      `(2) ${mark("buyer_name", `${buyer}, as buyer`)} ("Buyer").`,
      "",
      "NOW, THEREFORE, in consideration of the mutual promises below, the parties agree as follows:",
    ],
  };
  return layouts[look.layout].join("\n");
}

function property({ address = blank }: Facts): string {
  return `Seller shall sell and Buyer shall buy the real property ${mark("property_address", `located at ${address}`)}, together with all buildings and improvements on it (the "Property").`;
}

function price({ price: amount, priceInWords }: Facts, look: Look, dice: Dice): string {
  const words = mark("purchase_price", writeMoney(amount, look.money, priceInWords));
  return dice.pick([
    `The purchase price of the Property is ${words}, payable in immediately available funds at closing.`,
    `Buyer shall pay Seller the total sum of ${words} for the Property, subject to the prorations below.`,
    `Purchase Price: ${words}. The balance after the deposit is due by wire transfer at closing.`,
  ]);
}

function earnest(amount: Money, look: Look, dice: Dice): string {
  const style = look.money === "million" || look.money === "words-behind" ? "whole" : look.money;
  const words = mark("earnest_money", writeMoney(amount, style));
  return dice.pick([
    `Within three business days Buyer shall deposit earnest money of ${words} with the escrow agent.`,
    `Earnest Money: ${words}, to be held in trust by the escrow agent and credited to Buyer at closing.`,
    `Buyer delivers with this Agreement a deposit of ${words}, which the title company shall hold.`,
  ]);
}

function contingencies({ contingencies: all }: Facts, look: Look, number: () => string, dice: Dice): string {
  if (all.length === 0)
    return `${number()} No Contingencies. Buyer takes the Property as it stands; this Agreement is subject to no condition.`;
  return all
    .map(({ kind, date }, at) => {
      const field = `contingency_dates.${at}`;
      const day = dated(field, date, look);
      const title = `${kind[0]?.toUpperCase()}${kind.slice(1)} Contingency`;
      const sentence = dice.pick([
        `Buyer's obligations depend on the ${kind} being satisfactory to Buyer. ${mark(field, `This contingency expires on ${day}`)} unless Buyer gives notice before then.`,
        `${mark(field, `Buyer shall remove the ${kind} contingency on or before ${day}`)}, failing which either Party may cancel this Agreement.`,
        `${mark(field, `Deadline: ${day}`)}. If the ${kind} is not resolved by then, Buyer may withdraw and recover the deposit.`,
      ]);
      return `${number()} ${title}. ${sentence}`;
    })
    .join("\n\n");
}

function closing({ closing: date }: Facts, look: Look, dice: Dice): string {
  const day = /^\d{4}-/.test(date) ? dated("closing_date", date, look) : date;
  return dice.pick([
    `${mark("closing_date", `The closing shall take place on ${day}`)} at the office of the title company, or at another place the Parties agree on.`,
    `${mark("closing_date", `Closing Date: ${day}`)}. Seller shall deliver the deed against payment of the balance of the price.`,
    `${mark("closing_date", `The Parties shall close this sale on ${day}`)}, and possession passes when the deed is recorded.`,
  ]);
}

function signatures({ buyer = blank, seller = blank }: Facts): string {
  return [
    "IN WITNESS WHEREOF, the parties have signed this Agreement.",
    "",
    "SELLER",
    `By: ____________________    Name: ${seller}`,
    "",
    "BUYER",
    `By: ____________________    Name: ${buyer}`,
  ].join("\n");
}
