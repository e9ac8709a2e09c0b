// The question "did this take place?", and its answers. An answer is found by the effect it is about and the call it
// was asked about, never by position: two unclear effects of one node may ask in another order when it is repeated.
import secureJson from "secure-json-parse";
import type { AnsweredQuestion } from "../db/queries/effect-reads.ts";
import type { MovedEffect } from "../db/queries/effect-rows.ts";
import {
  detailOf,
  type EscalationDetail,
  type HumanInterrupt,
  type HumanResponse,
  readResponse,
} from "../domain/escalation.ts";
import type { EffectCall } from "./effect.ts";

const priority = 2;
const shownCharsMax = 20_000;

export type Verdict = { done: false } | { done: true; result: unknown };

/** The answers about this effect are no answers to the questions that its node asks, or the call itself. */
export function takePlaces({ places, taskId }: EffectCall, answers: readonly AnsweredQuestion[]): void {
  places.skip(answers.filter(({ task_id }) => task_id === taskId).map(({ ordinal }) => ordinal));
}

/** What a human said about the latest call of this effect; null when nobody did, or not in a way that can be read. */
export function verdictOf(effect: MovedEffect, answers: readonly AnsweredQuestion[]): Verdict | null {
  const verdicts = answers
    .filter(({ payload }) => detailOf(JSON.parse(payload)).dispatch === effect.dispatches)
    .map(({ decision }) => readVerdict(readResponse(JSON.parse(decision))))
    .filter((verdict) => verdict !== null);
  return verdicts.at(-1) ?? null;
}

function readVerdict(response: HumanResponse | null): Verdict | null {
  if (response?.type === "accept") return { done: true, result: null };
  if (response?.type === "ignore") return { done: false };
  if (response?.type !== "response" || typeof response.args !== "string") return null;
  const result: unknown = secureJson.safeParse(response.args);
  const isJson = result !== undefined && (result !== null || response.args.trim() === "null");
  return { done: true, result: isJson ? result : response.args };
}

/** Throws LangGraph's interrupt. */
export function askWhetherDone(
  { places }: EffectCall,
  effect: MovedEffect,
  answers: readonly AnsweredQuestion[],
): never {
  const unread = answers.some(({ payload }) => detailOf(JSON.parse(payload)).dispatch === effect.dispatches);
  return places.ask(questionAbout(effect, unread));
}

type Payload = [HumanInterrupt & { holdfast: EscalationDetail }];

function questionAbout(effect: MovedEffect, unread: boolean): Payload {
  const { tool, key, dispatches, error, run_id, effect_id } = effect;
  const message = `${tool} was called, and whether it took place is not known`;
  return [
    {
      action_request: {
        action: `Did ${tool} take place?`,
        args: {
          tool,
          arguments: shownArgs(effect.args),
          key,
          business_key: effect.business_key,
          first_sent_at: effect.first_dispatched_at,
          last_sent_at: effect.dispatched_at,
          times_sent: dispatches,
          error: (error as { message?: unknown } | null)?.message ?? null,
          run_id,
        },
      },
      config: { allow_accept: true, allow_ignore: true, allow_respond: true, allow_edit: false },
      description: [
        ...(unread ? ["**The last answer could not be read.**", ""] : []),
        `Look where ${tool} leaves its traces, by the key or the arguments, then answer:`,
        "- accept: it took place, and its result is not needed",
        "- respond: it took place, and this is its result (JSON, or a text)",
        "- ignore: it did not take place; it is called now, with the same key",
      ].join("\n"),
      holdfast: { reasons: [{ code: "effect_unknown", message }], priority, effect_id, dispatch: dispatches },
    },
  ];
}

const shownArgs = (args: string): unknown =>
  args.length <= shownCharsMax ? JSON.parse(args) : `${args.slice(0, shownCharsMax)}…`;
