import { randomInt } from "node:crypto";

const counterDigits = 32;
const suffixDigits = 12;
const stockSuffix = "0".repeat(suffixDigits);

/**
 * The next version of a channel: a padded counter, so that text order is number order, and a random suffix. With
 * plain integers, two branches of a fork give different blobs the same name, and one is silently lost.
 */
export function nextVersion(current: number | string | undefined): string {
  const counter = current === undefined ? 0 : Number.parseInt(String(current).split(".")[0] ?? "0", 10);
  const suffix = String(randomInt(1, 10 ** suffixDigits)).padStart(suffixDigits, "0");
  return `${pad(counter + 1)}.${suffix}`;
}

/** Integer versions of the stock saver in our form, so that old and new ones of a thread compare right. */
export function fromStockVersion(version: number | string): string {
  return typeof version === "number" ? `${pad(version)}.${stockSuffix}` : version;
}

const pad = (counter: number): string => String(counter).padStart(counterDigits, "0");
