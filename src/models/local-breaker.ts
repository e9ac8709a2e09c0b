import {
  BrokenCircuitError,
  type CircuitBreakerPolicy,
  ConsecutiveBreaker,
  circuitBreaker,
  handleWhen,
  TaskCancelledError,
} from "cockatiel";
import { type Breaker, breakerLimits, type Pass, unavailable } from "./breaker.ts";

/** The breaker of a model that is used outside a run: there is no database, so it knows this object's calls alone. */
export function localBreaker(): Breaker {
  const policies = new Map<string, CircuitBreakerPolicy>();
  return {
    async admit(target) {
      const policy = policies.get(target) ?? newPolicy();
      policies.set(target, policy);
      return admit(policy, target);
    },
  };
}

class CountedFailure extends Error {
  override readonly name = "CountedFailure";
}

const newPolicy = (): CircuitBreakerPolicy =>
  circuitBreaker(
    handleWhen((error) => error instanceof CountedFailure),
    { halfOpenAfter: breakerLimits.openMs, breaker: new ConsecutiveBreaker(breakerLimits.failuresMax) },
  );

/** The policy runs functions; here the function is the time until the pass says how it went. */
async function admit(policy: CircuitBreakerPolicy, target: string): Promise<Pass> {
  let settle: (error?: Error) => void = () => undefined;
  const settled = new Promise<void>((resolve, reject) => {
    settle = (error) => (error === undefined ? resolve() : reject(error));
  });
  const admitted = new Promise<void>((resolve, reject) => {
    const run = (): Promise<void> => {
      resolve();
      return settled;
    };
    policy.execute(run).catch(reject);
  });
  try {
    await admitted;
  } catch (error) {
    if (error instanceof BrokenCircuitError || error instanceof TaskCancelledError)
      throw unavailable(target, breakerLimits.openMs);
    throw error;
  }
  return {
    succeeded: async () => settle(),
    failed: async () => settle(new CountedFailure()),
    givenUp: async () => settle(new TaskCancelledError()),
  };
}
