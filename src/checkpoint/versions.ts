import type { ChannelVersions, Checkpoint } from "@langchain/langgraph-checkpoint";

const counterDigits = 12;
const suffixDigits = 9;
const stockSuffix = "0".repeat(suffixDigits);

/**
 * The next version of a channel: a padded counter, so that text order is number order, and a random suffix. With
 * plain integers, two branches of a fork give different blobs the same name, and one is silently lost.
 */
export function nextVersion(current: number | string | undefined): string {
  const counter = current === undefined ? 0 : Number.parseInt(String(current).split(".")[0] ?? "0", 10);
  // Apart from the other branches of a fork is all it must be; never the zeros of a stock version.
  const suffix = String(1 + Math.floor(Math.random() * (10 ** suffixDigits - 1))).padStart(suffixDigits, "0");
  return `${pad(counter + 1)}.${suffix}`;
}

/** Integer versions of the stock saver in our form, so that old and new ones of a thread compare right. */
export function fromStockVersion(version: number | string): string {
  return typeof version === "number" ? `${pad(version)}.${stockSuffix}` : version;
}

const pad = (counter: number): string => String(counter).padStart(counterDigits, "0");

/** A checkpoint of the stock saver, as one of ours. */
export function withOurVersions(checkpoint: Checkpoint): Checkpoint {
  const convert = (versions: ChannelVersions): ChannelVersions =>
    Object.fromEntries(
      Object.entries(versions).map(([channel, version]) => [channel, fromStockVersion(version)]),
    );
  return {
    ...checkpoint,
    channel_versions: convert(checkpoint.channel_versions),
    versions_seen: Object.fromEntries(
      Object.entries(checkpoint.versions_seen).map(([node, seen]) => [node, convert(seen)]),
    ) as Checkpoint["versions_seen"],
  };
}
