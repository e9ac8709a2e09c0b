import { z } from "zod";
import { countCronsBody, createCronBody, patchCronBody, searchCronsBody } from "../schemas/cron.ts";
import { batchBody, cancelManyBody, cancelQuery, listRunsQuery, runBody } from "../schemas/run.ts";
import { countAnswer, cron, foundCron, run } from "./answers.ts";
import {
  type Answer,
  answer,
  atTheEnd,
  type Entry,
  events,
  nothing,
  operationsOf,
  page,
} from "./operation.ts";

const named = { "idempotency-key": "the same run for a day, however often this is sent" };
const located: Answer = { ...answer(run), headers: { "content-location": "the run" } };

/** The same routes for the runs of a thread, and for runs that bring their own. */
const runEntries = (base: "/threads/:thread_id/runs" | "/runs"): Entry[] => {
  const suffix = base === "/runs" ? "Stateless" : "";
  return [
    {
      route: `POST ${base}`,
      id: `create${suffix}Run`,
      summary: "Starts a run",
      body: runBody,
      headers: named,
      answers: { 200: located },
      refusals: [404, 409],
    },
    {
      route: `POST ${base}/stream`,
      id: `stream${suffix}Run`,
      summary: "Starts a run and follows its events",
      body: runBody,
      headers: named,
      answers: { 200: events },
      refusals: [404, 409],
    },
    {
      route: `POST ${base}/wait`,
      id: `waitFor${suffix}Run`,
      summary: "Starts a run and waits for its end",
      body: runBody,
      headers: named,
      answers: { 200: atTheEnd },
      refusals: [404, 409],
    },
    ...runOfEntries(base, suffix),
  ];
};

const runOfEntries = (base: "/threads/:thread_id/runs" | "/runs", suffix: string): Entry[] => [
  {
    route: `GET ${base}/:run_id`,
    id: `get${suffix}Run`,
    summary: "One run",
    answers: { 200: answer(run) },
  },
  {
    route: `DELETE ${base}/:run_id`,
    id: `delete${suffix}Run`,
    summary: "Deletes a run, whatever it does",
    answers: { 204: nothing("it is gone") },
    refusals: [409],
  },
  {
    route: `GET ${base}/:run_id/join`,
    id: `join${suffix}Run`,
    summary: "Waits for the end of a run",
    answers: { 200: atTheEnd },
  },
  {
    route: `GET ${base}/:run_id/stream`,
    id: `joinStreamOf${suffix}Run`,
    summary: "Follows the events of a run, from its start",
    flags: ["cancel_on_disconnect"],
    headers: { "last-event-id": "go on behind this event" },
    answers: { 200: events },
  },
  {
    route: `POST ${base}/:run_id/cancel`,
    id: `cancel${suffix}Run`,
    summary: "Stops a run; with `wait` answers when it has ended",
    query: cancelQuery,
    flags: ["wait"],
    answers: { 202: nothing("it is asked to stop"), 204: nothing("it has ended") },
    refusals: [409],
  },
];

export const runOperations = operationsOf("Runs", [
  {
    route: "GET /threads/:thread_id/runs",
    id: "listRuns",
    summary: "The runs of a thread, newest first",
    query: listRunsQuery,
    answers: { 200: answer(z.array(run)) },
  },
  ...runEntries("/threads/:thread_id/runs"),
]);

export const statelessRunOperations = operationsOf("Stateless runs", [
  ...runEntries("/runs"),
  {
    route: "POST /runs/batch",
    id: "createRuns",
    summary: "Starts several runs",
    body: batchBody,
    answers: { 200: answer(z.array(run)) },
    refusals: [404, 409],
  },
  {
    route: "POST /runs/cancel",
    id: "cancelRuns",
    summary: "Stops several runs",
    body: cancelManyBody,
    query: cancelQuery,
    answers: { 204: nothing("they are asked to stop") },
  },
]);

export const cronOperations = operationsOf("Crons", [
  {
    route: "POST /runs/crons",
    id: "createCron",
    summary: "Makes a cron whose runs bring threads of their own",
    body: createCronBody,
    answers: { 200: answer(cron) },
    refusals: [404],
  },
  {
    route: "POST /threads/:thread_id/runs/crons",
    id: "createCronOfThread",
    summary: "Makes a cron whose runs go to this thread",
    body: createCronBody,
    answers: { 200: answer(cron) },
  },
  {
    route: "POST /runs/crons/search",
    id: "searchCrons",
    summary: "Crons that match",
    body: searchCronsBody,
    answers: { 200: page(z.array(foundCron)) },
  },
  {
    route: "POST /runs/crons/count",
    id: "countCrons",
    summary: "How many crons match",
    body: countCronsBody,
    answers: { 200: answer(countAnswer) },
  },
  {
    route: "PATCH /runs/crons/:cron_id",
    id: "patchCron",
    summary: "Changes a cron; what is left out stays",
    body: patchCronBody,
    answers: { 200: answer(cron) },
  },
  {
    route: "DELETE /runs/crons/:cron_id",
    id: "deleteCron",
    summary: "Deletes a cron",
    answers: { 200: answer(z.object({})) },
  },
]);
