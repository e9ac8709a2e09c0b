import type {
  ChannelVersions,
  Checkpoint,
  CheckpointMetadata,
  SerializerProtocol,
} from "@langchain/langgraph-checkpoint";
import type { StepRow } from "../db/queries/checkpoint-groups.ts";
import { blobInParts, ownType } from "../db/queries/parts.ts";
import { type Sending, wholeCharsMax } from "../domain/parts.ts";
import { dumpText, strictSerializer } from "./serializer.ts";
import type { KnownValue } from "./text-memory.ts";

/** A step's checkpoint in stored form, on its way. */
export interface Step {
  row: StepRow;
  /** Its values that are kept in parts. */
  long: readonly KnownValue[];
  /** These as they came, by channel: graph code may change them later. */
  given: ReadonlyMap<string, unknown>;
  sending: Sending | undefined;
}

interface Dumping {
  ns: string;
  parentId: string | null;
  checkpoint: Checkpoint;
  metadata: CheckpointMetadata;
  /** Of the channels that have a new value. */
  versions: ChannelVersions;
  serde: SerializerProtocol;
  /** Where long values are kept in parts; without it they are stored whole. */
  sending: Sending | undefined;
}

export async function dumpStep(dumping: Dumping): Promise<Step> {
  const { ns, parentId, checkpoint, metadata, sending } = dumping;
  const { channel_values: values, ...rest } = checkpoint;
  const long: KnownValue[] = [];
  const blobs = await dumpChannels({ ...dumping, values, long });
  const row = {
    ns,
    checkpointId: checkpoint.id,
    parentId,
    checkpoint: JSON.stringify(rest),
    metadata: JSON.stringify(metadata),
    blobs,
    parts: sending?.parts ?? [],
  };
  const given = new Map(long.map(({ channel }) => [channel, values[channel]]));
  return { row, long, given, sending };
}

interface Channels extends Pick<Dumping, "ns" | "versions" | "serde" | "sending"> {
  values: Record<string, unknown>;
  /** Takes the values that are kept in parts. */
  long: KnownValue[];
}

async function dumpChannels(channels: Channels): Promise<StepRow["blobs"]> {
  return Promise.all(
    Object.entries(channels.versions).map(async ([channel, version]) => {
      const named = { channel, version: String(version) };
      if (!Object.hasOwn(channels.values, channel)) return { ...named, type: "empty", blob: null };
      const [type, blob] = await dumpChannel(named, channels);
      return { ...named, type, blob };
    }),
  );
}

/** Only what our own serializer wrote is known to be text. */
async function dumpChannel(
  { channel, version }: { channel: string; version: string },
  { values, ns, serde, sending, long }: Channels,
): Promise<[type: string, bytes: Uint8Array]> {
  const value = values[channel];
  if (sending === undefined || serde !== strictSerializer) return serde.dumpsTyped(value);
  const text = dumpText(value);
  if (text.length < wholeCharsMax) return [ownType, Buffer.from(text, "utf8")];
  long.push({ ns, channel, version, text });
  return [blobInParts, Buffer.from(await sending.cut(`${ns}/${channel}`, text), "utf8")];
}
