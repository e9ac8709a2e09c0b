// Threads by their callers' own keys: `key:ticket-4711` where an id may stand.

const threadKeyCharsMax = 200;
export const threadKeyForm = new RegExp(`^key:[^\\p{Cc}\\p{Cs}]{1,${threadKeyCharsMax}}$`, "u");
export const threadKeyHint = `a key has 1 to ${threadKeyCharsMax} characters, and no control characters`;

/** The key in `key:ticket-4711`; undefined when the text is meant as an id, null when it is no key that may be. */
export const keyOf = (text: string): string | undefined | null => {
  if (!text.startsWith("key:")) return undefined;
  return threadKeyForm.test(text) ? text.slice("key:".length) : null;
};
