/** Node compiles what it does often: the first thousand runs of anything take twice the time of later ones. */
export const warmMillis = Number(process.env.BENCH_WARM_SECONDS ?? 10) * 1_000;

/** Starts the next run when one has ended, so that `at` are always under way. */
export async function load(
  run: () => Promise<unknown>,
  { at, millis }: { at: number; millis: number },
): Promise<{ runs: number; perSecond: number }> {
  const began = performance.now();
  let runs = 0;
  await Promise.all(
    Array.from({ length: at }, async () => {
      while (performance.now() < began + millis) {
        await run();
        runs += 1;
      }
    }),
  );
  return { runs, perSecond: runs / ((performance.now() - began) / 1_000) };
}
