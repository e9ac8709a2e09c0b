import { z } from "zod";
import {
  deadLettersQuery,
  discardBody,
  discardManyBody,
  redriveBody,
  redriveManyBody,
} from "../schemas/dead-letter.ts";
import { decideBody, escalationsQuery } from "../schemas/escalation.ts";
import { componentBody } from "../schemas/ui.ts";
import { deliveriesQuery } from "../schemas/webhook.ts";
import { answer, content, operationsOf } from "./operation.ts";
import * as own from "./own-answers.ts";

export const escalationOperations = operationsOf("Escalations", [
  {
    route: "GET /escalations",
    id: "listEscalations",
    summary: "Questions that runs stopped at",
    query: escalationsQuery,
    answers: { 200: answer(z.array(own.escalation)) },
  },
  {
    route: "GET /escalations/:id",
    id: "getEscalation",
    summary: "One question",
    answers: { 200: answer(own.escalation) },
  },
  {
    route: "POST /escalations/:id/decide",
    id: "decideEscalation",
    summary: "Answers a question and starts the run that goes on",
    body: decideBody,
    answers: { 202: answer(own.decided) },
    refusals: [409],
  },
]);

export const deadLetterOperations = operationsOf("Dead letters", [
  {
    route: "GET /dead-letters",
    id: "listDeadLetters",
    summary: "Runs that ended in error or timeout",
    query: deadLettersQuery,
    flags: ["all"],
    answers: { 200: answer(z.array(own.deadLetter)) },
  },
  {
    route: "GET /dead-letters/groups",
    id: "groupDeadLetters",
    summary: "The same by cause, the largest group first",
    query: deadLettersQuery,
    flags: ["all"],
    answers: { 200: answer(z.array(own.deadLetterGroup)) },
  },
  {
    route: "POST /dead-letters/redrive",
    id: "redriveDeadLetters",
    summary: "Starts again what is meant: ids, a group or a filter",
    body: redriveManyBody,
    answers: { 200: answer(own.redrivenMany, "a dry run"), 202: answer(own.redrivenMany) },
  },
  {
    route: "POST /dead-letters/discard",
    id: "discardDeadLetters",
    summary: "Closes what is meant: ids, a group or a filter",
    body: discardManyBody,
    answers: { 200: answer(own.discardedMany) },
  },
  {
    route: "GET /dead-letters/:run_id",
    id: "getDeadLetter",
    summary: "All that one needs to decide about a dead run",
    answers: { 200: answer(own.deadLetterStory) },
  },
  {
    route: "POST /dead-letters/:run_id/redrive",
    id: "redriveDeadLetter",
    summary: "Starts a run that does what the dead one did not finish",
    body: redriveBody,
    answers: { 200: answer(own.redrivePlan, "a dry run"), 202: answer(own.redriven) },
    refusals: [409],
  },
  {
    route: "POST /dead-letters/:run_id/discard",
    id: "discardDeadLetter",
    summary: "Closes a dead letter",
    body: discardBody,
    answers: { 200: answer(own.deadLetter) },
    refusals: [409],
  },
]);

export const watchOperations = operationsOf("Looking into it", [
  {
    route: "GET /threads/:thread_id/explain",
    id: "explainThread",
    summary: "What a thread is doing, what failed, what is saved, whether a retry is safe",
    answers: { 200: answer(own.explanation) },
  },
  {
    route: "GET /threads/:thread_id/effects",
    id: "listEffects",
    summary: "What a thread did to the world",
    answers: { 200: answer(z.array(own.effect)) },
  },
  {
    route: "GET /breakers",
    id: "listBreakers",
    summary: "The breakers of the models",
    answers: { 200: answer(z.array(own.breaker)) },
  },
  ...(["open", "close"] as const).map((deed) => ({
    route: `POST /breakers/:target/${deed}` as const,
    id: `${deed}Breaker`,
    summary: `Holds a breaker ${deed === "open" ? "open" : "closed"}, until told otherwise`,
    answers: { 200: answer(own.breaker) },
    refusals: [422],
  })),
  {
    route: "POST /breakers/:target/auto",
    id: "autoBreaker",
    summary: "Lets a breaker judge by itself again",
    answers: { 200: answer(own.breaker) },
    refusals: [404, 422],
  },
  {
    route: "GET /webhooks",
    id: "listWebhooks",
    summary: "What became of webhooks",
    query: deliveriesQuery,
    answers: { 200: answer(z.array(own.delivery)) },
  },
  {
    route: "POST /webhooks/:delivery_id/redrive",
    id: "redriveWebhook",
    summary: "Sends a webhook again that was given up",
    answers: { 202: answer(own.delivery) },
  },
]);

export const uiOperations = operationsOf("Generative UI", [
  {
    route: "POST /ui/:agent",
    id: "getComponent",
    summary: "HTML that loads a component of an agent",
    body: componentBody,
    answers: { 200: content("text/html", "with {{shadowRootId}} to be replaced") },
    refusals: [404],
  },
  {
    route: "GET /ui/:agent/:basename",
    id: "getComponentFile",
    summary: "A file of an agent's components",
    answers: { 200: content("*/*", "as its name says") },
    refusals: [404],
    open: true,
  },
]);

export const serverOperations = operationsOf("Server", [
  {
    route: "GET /info",
    id: "getInfo",
    summary: "Version and what it can do",
    answers: { 200: answer(own.info) },
    open: true,
  },
  { route: "GET /ok", id: "getOk", summary: "It answers", answers: { 200: answer(own.alive) } },
  {
    route: "GET /livez",
    id: "getLiveness",
    summary: "The process answers",
    answers: { 200: answer(own.alive) },
    open: true,
  },
  {
    route: "GET /readyz",
    id: "getReadiness",
    summary: "Whether it should get traffic",
    answers: { 200: answer(own.alive), 503: answer(own.alive, "starting, draining or without a database") },
    open: true,
  },
  {
    route: "GET /metrics",
    id: "getMetrics",
    summary: "Metrics for Prometheus",
    answers: { 200: content("text/plain", "OK") },
  },
  {
    route: "GET /openapi.json",
    id: "getOpenApi",
    summary: "This document",
    answers: { 200: content("application/json", "OK") },
    open: true,
  },
  {
    route: "GET /docs",
    id: "getDocs",
    summary: "This document as a page",
    answers: { 200: content("text/html", "OK") },
    open: true,
  },
]);
