/** A reader that takes nothing for this long is disconnected. */
const stallSecondsMax = 15;

interface Hooks {
  onOpen?: () => void;
  onClose?: () => void;
  /** The reader went away before the source had ended. */
  onCancel?: () => void;
  stallSeconds?: number;
}

/**
 * A response body that asks its source for the next piece only when the reader has taken the one before: at most
 * one piece is held in memory, however slow the reader.
 */
export function pulled(
  source: (signal: AbortSignal) => AsyncGenerator<string>,
  { onOpen, onClose, onCancel, stallSeconds = stallSecondsMax }: Hooks = {},
): ReadableStream<Uint8Array> {
  const gone = new AbortController();
  const pieces = source(gone.signal);
  const encoder = new TextEncoder();
  let stall: NodeJS.Timeout | undefined;
  let closed = false;
  const close = (): void => {
    clearTimeout(stall);
    if (closed) return;
    closed = true;
    gone.abort("over");
    onClose?.();
  };
  onOpen?.();
  const leave = (): void => {
    const early = !closed;
    close();
    if (early) onCancel?.();
    pieces.return(undefined).catch(() => undefined);
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(stall);
        try {
          const { done, value } = await pieces.next();
          if (closed) return;
          if (done) {
            close();
            controller.close();
            return;
          }
          controller.enqueue(encoder.encode(value));
        } catch (error) {
          close();
          controller.error(error);
          return;
        }
        stall = setTimeout(() => {
          controller.error(new Error(`the reader took nothing for ${stallSeconds} s`));
          leave();
        }, stallSeconds * 1000);
      },
      cancel: leave,
    },
    { highWaterMark: 0 },
  );
}
