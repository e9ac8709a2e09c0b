const wordsPerAnswer = 20;

/** Where the model waits. */
export const halfway = 10;

/** What the model says in a turn, the first being 1. */
export const wordsOf = (turn: number): string[] =>
  Array.from({ length: wordsPerAnswer }, (_, index) => `t${turn}w${index + 1}`);
