/** A place in the stream of a thread: the epoch of a run's first claim, and the number of an event in that run. */
export interface Position {
  epoch: number;
  n: number;
}

export const threadStart: Position = { epoch: 0, n: -1 };

export const idOf = ({ epoch, n }: Position): string => `${epoch}-${n}`;

/** Undefined when the text is no id of an event. */
export function positionOfId(id: string): Position | undefined {
  const [, epoch, n] = /^(\d{1,15})-(\d{1,10})$/.exec(id) ?? [];
  return epoch === undefined ? undefined : { epoch: Number(epoch), n: Number(n) };
}

/** Events of one run that get numbers of their own; 2^29 epochs of a thread remain within a safe integer. */
const eventsPerRunMax = 2 ** 24;

/** The same as one number that rises over the whole thread, for protocols that ask for one. */
export const seqOf = ({ epoch, n }: Position): number =>
  epoch * eventsPerRunMax + Math.min(n + 1, eventsPerRunMax - 1);

export const positionOfSeq = (seq: number): Position => ({
  epoch: Math.floor(seq / eventsPerRunMax),
  n: (seq % eventsPerRunMax) - 1,
});
