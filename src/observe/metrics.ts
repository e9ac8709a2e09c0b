import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** The fixed surface: names and buckets that dashboards elsewhere rely on. */
function agentMetrics(registers: Registry[]) {
  return {
    tasks: new Counter({
      name: "agent_tasks_total",
      help: "Runs that ended, by final status",
      labelNames: ["agent_name", "status"],
      registers,
    }),
    latency: new Histogram({
      name: "agent_latency_seconds",
      help: "Seconds from a run's creation to its end",
      labelNames: ["agent_name"],
      buckets: [0.5, 1, 2, 5, 10, 30, 60, 120],
      registers,
    }),
    tokens: new Counter({
      name: "agent_tokens_total",
      help: "Tokens the model reported",
      labelNames: ["agent_name", "model"],
      registers,
    }),
    confidence: new Gauge({
      name: "agent_confidence_score",
      help: "Confidence of the last finished run, 0 to 1",
      labelNames: ["agent_name"],
      registers,
    }),
    cost: new Counter({
      name: "agent_cost_usd_total",
      help: "US dollars by the price table; models it does not know are counted as unpriced tokens",
      labelNames: ["agent_name"],
      registers,
    }),
    unpriced: new Counter({
      name: "holdfast_unpriced_tokens_total",
      help: "Tokens of models without a price",
      labelNames: ["model"],
      registers,
    }),
  };
}

function modelMetrics(registers: Registry[]) {
  return {
    fallbacks: new Counter({
      name: "holdfast_fallback_total",
      help: "Answers that came from another model than the one that was asked first",
      labelNames: ["from", "to"],
      registers,
    }),
    invalidKeys: new Counter({
      name: "holdfast_invalid_key_total",
      help: "Requests that a model's provider refused because of the key",
      labelNames: ["target"],
      registers,
    }),
    replays: new Counter({
      name: "holdfast_model_replays_total",
      help: "Model calls that were answered from the journal",
      labelNames: ["graph"],
      registers,
    }),
  };
}

function effectMetrics(registers: Registry[]) {
  return {
    webhooks: new Counter({
      name: "holdfast_webhooks_total",
      help: "Attempts to deliver a webhook, by how they ended",
      labelNames: ["outcome"],
      registers,
    }),
    effects: new Counter({
      name: "holdfast_effects_total",
      help: "Effects that were settled or need to be cleared up, by class and the state they got to",
      labelNames: ["class", "state"],
      registers,
    }),
    toolCalls: new Counter({
      name: "holdfast_tool_calls_total",
      help: "Calls sent through the ledger, by how they came out",
      labelNames: ["tool", "outcome"],
      registers,
    }),
    toolDuration: new Histogram({
      name: "holdfast_tool_duration_seconds",
      help: "Seconds from sending a call to its end",
      labelNames: ["tool"],
      buckets: [0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60],
      registers,
    }),
  };
}

function ownMetrics(registers: Registry[]) {
  return {
    steps: new Counter({
      name: "holdfast_steps_total",
      help: "Steps committed",
      labelNames: ["graph"],
      registers,
    }),
    fenced: new Counter({
      name: "holdfast_fenced_writes_total",
      help: "Writes refused because the writer had lost its lease",
      labelNames: ["kind"],
      registers,
    }),
    leaseLost: new Counter({
      name: "holdfast_lease_lost_total",
      help: "Attempts that lost their lease",
      registers,
    }),
    takeovers: new Counter({
      name: "holdfast_takeovers_total",
      help: "Runs returned to the queue because their worker was gone",
      registers,
    }),
    crashBudget: new Counter({
      name: "holdfast_crash_budget_exhausted_total",
      help: "Runs ended because their workers kept dying",
      registers,
    }),
    suspects: new Counter({
      name: "holdfast_suspects_total",
      help: "Attempts run alone in a process, because two workers had died under them",
      registers,
    }),
    retries: new Counter({
      name: "holdfast_retries_total",
      help: "Attempts that will be repeated",
      labelNames: ["error_type"],
      registers,
    }),
    compensations: new Counter({
      name: "holdfast_compensations_total",
      help: "Compensations that a worker saw to an end: done, or stuck and waiting for a human",
      labelNames: ["outcome"],
      registers,
    }),
    deadLetters: new Counter({
      name: "holdfast_dead_letter_total",
      help: "Runs that ended dead, by the code of their error",
      labelNames: ["reason"],
      registers,
    }),
    sseClients: new Gauge({ name: "holdfast_sse_clients", help: "Open event streams", registers }),
  };
}

function cronMetrics(registers: Registry[]) {
  return {
    cronTicks: new Counter({
      name: "holdfast_cron_ticks_total",
      help: "Ticks of crons: fired, skipped because they were missed, or failed to start a run",
      labelNames: ["outcome"],
      registers,
    }),
  };
}

/** What the database says at the time of the scrape, the same to every process. */
function sharedMetrics(registers: Registry[]) {
  return {
    queueDepth: new Gauge({
      name: "holdfast_queue_depth",
      help: "Runs by state, at the time of the scrape",
      labelNames: ["state"],
      registers,
    }),
    oldest: new Gauge({
      name: "holdfast_queue_oldest_seconds",
      help: "Age of the oldest due run, at the time of the scrape",
      registers,
    }),
    deadLetterDepth: new Gauge({
      name: "holdfast_dead_letter_depth",
      help: "Dead letters that nobody has handled, at the time of the scrape",
      registers,
    }),
    effectsUnknown: new Gauge({
      name: "holdfast_effects_unknown",
      help: "Effects of which nobody knows whether they took place, at the time of the scrape",
      registers,
    }),
    breakerState: new Gauge({
      name: "holdfast_breaker_state",
      help: "0 closed, 1 half open, 2 open, at the time of the scrape",
      labelNames: ["target"],
      registers,
    }),
  };
}

/** Of a process's own registry, the text of every process's. */
export type MetricsOfEach = (own: Registry) => () => Promise<string>;

const ofThisProcess: MetricsOfEach = (own) => () => own.metrics();

/** Every metric of the program. */
export function openMetrics(metricsOfEach: MetricsOfEach = ofThisProcess) {
  const [registry, shared] = [new Registry(), new Registry()];
  const registers = [registry];
  const own = {
    ...agentMetrics(registers),
    ...ownMetrics(registers),
    ...cronMetrics(registers),
    ...effectMetrics(registers),
    ...modelMetrics(registers),
  };
  const counted = metricsOfEach(registry);
  return {
    ...own,
    ...sharedMetrics([shared]),
    registries: [registry, shared],
    contentType: registry.contentType,
    /** As Prometheus reads it. */
    text: async (): Promise<string> => (await counted()) + (await shared.metrics()),
  };
}

export type Metrics = ReturnType<typeof openMetrics>;
