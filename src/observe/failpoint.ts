// Named places where a test may stop, kill or fail the program. Off (the default) they cost one comparison.

export type FailpointAction = (name: string) => Promise<void> | void;

let act: FailpointAction | undefined;

/** Called at every boundary on a run's path. */
export function failpoint(name: string): Promise<void> | void {
  return act?.(name);
}

/** Only tests and `HOLDFAST_FAILPOINTS` switch them on, once, at start. */
export function setFailpoints(action: FailpointAction | undefined): void {
  act = action;
}
