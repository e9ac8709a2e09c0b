// The question "did this take place?", and its answers. An answer is found by the effect it is about and the call it
// was asked about, never by position: two unclear effects of one node may ask in another order when it is repeated.
import { isGraphInterrupt } from "@langchain/langgraph";
import secureJson from "secure-json-parse";
import type { AnsweredQuestion } from "../db/queries/effect-reads.ts";
import type { MovedEffect } from "../db/queries/effects.ts";
import { Fatal } from "../domain/errors.ts";
import {
  detailOf,
  type EscalationDetail,
  type HumanInterrupt,
  type HumanResponse,
  readResponse,
} from "../domain/escalation.ts";
import type { EffectCall } from "./effect.ts";

/** How often an effect asks in one execution: answers that belong to its neighbours are passed over. */
export const asksMax = 20;
const priority = 2;
const shownCharsMax = 20_000;

export type Verdict = { done: false } | { done: true; result: unknown };

/**
 * LangGraph hands out answers by position, so every execution takes the places that this effect's questions took,
 * also when it is long settled: the node's later questions keep theirs.
 */
export function takePlaces(call: EffectCall, answers: readonly AnsweredQuestion[]): void {
  const own = answers.filter(({ task_id }) => task_id === call.taskId);
  for (const _ of own.slice(0, asksMax)) {
    try {
      call.ask(null);
    } catch (error) {
      // A neighbour's question took the place. Nothing was asked by this: only what a node throws is.
      if (isGraphInterrupt(error)) return;
      throw error;
    }
  }
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

/** Throws LangGraph's interrupt. When it returns, it was given a neighbour's answer: it asks on, at the next place. */
export function askWhetherDone(
  call: EffectCall,
  effect: MovedEffect,
  answers: readonly AnsweredQuestion[],
): never {
  const unread = answers.some(({ payload }) => detailOf(JSON.parse(payload)).dispatch === effect.dispatches);
  const payload = questionAbout(effect, unread);
  for (let asked = 0; asked < asksMax; asked += 1) call.ask(payload);
  throw new Fatal(`effect ${effect.tool} got no answer of its own in ${asksMax} places`, {
    code: "effect_unknown",
  });
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
