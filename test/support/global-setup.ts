/** Nothing to set up for pure tests. */
export function setup(): void {}
