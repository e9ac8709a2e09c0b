/** Arguments and results are kept with every call: what is larger belongs into a store, and its address in here. */
export const argsBytesMax = 1_000_000;
export const resultBytesMax = 1_000_000;
