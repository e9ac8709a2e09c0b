/** Nothing to prepare yet. */
export async function setup(): Promise<void> {}
