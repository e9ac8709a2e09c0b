import { z } from "zod";
import {
  copyThreadBody,
  countThreadsBody,
  createThreadBody,
  historyBody,
  historyQuery,
  patchStateBody,
  patchThreadBody,
  pruneThreadsBody,
  searchThreadsBody,
  stateAtBody,
  updateStateBody,
} from "../schemas/thread.ts";
import { threadStreamModes } from "../thread-sse.ts";
import { countAnswer, foundThread, thread, threadState, threadWithTtl, updatedState } from "./answers.ts";
import { answer, events, nothing, operationsOf, page } from "./operation.ts";

const one = "/threads/:thread_id" as const;
const minimal = { prefer: "return=minimal: 204 without the thread" };

export const threadOperations = operationsOf("Threads", [
  {
    route: "POST /threads",
    id: "createThread",
    summary: "Makes a thread, with the states of supersteps where given",
    body: createThreadBody,
    answers: { 200: answer(thread) },
    refusals: [404, 409],
  },
  {
    route: "POST /threads/search",
    id: "searchThreads",
    summary: "Threads that match",
    body: searchThreadsBody,
    answers: { 200: page(z.array(foundThread)) },
  },
  {
    route: "POST /threads/count",
    id: "countThreads",
    summary: "How many threads match",
    body: countThreadsBody,
    answers: { 200: answer(countAnswer) },
  },
  {
    route: "POST /threads/prune",
    id: "pruneThreads",
    summary: "Deletes threads, or all but their latest state",
    body: pruneThreadsBody,
    answers: { 200: answer(z.object({ pruned_count: countAnswer })) },
  },
  {
    route: `GET ${one}`,
    id: "getThread",
    summary: "One thread",
    texts: { include: "ttl: with its time to live" },
    answers: { 200: answer(threadWithTtl) },
  },
  {
    route: `PATCH ${one}`,
    id: "patchThread",
    summary: "Merges its metadata, sets its time to live",
    body: patchThreadBody,
    headers: minimal,
    answers: { 200: answer(thread), 204: nothing("as `prefer` asked") },
  },
  {
    route: `DELETE ${one}`,
    id: "deleteThread",
    summary: "Deletes it with its runs and checkpoints",
    answers: { 204: nothing("it is gone") },
    refusals: [409],
  },
  {
    route: `POST ${one}/copy`,
    id: "copyThread",
    summary: "Copies state and history into a new thread",
    body: copyThreadBody,
    answers: { 200: answer(thread) },
    refusals: [409],
  },
  {
    route: `GET ${one}/stream`,
    id: "streamThread",
    summary: "Follows its runs, one after the other",
    texts: {
      stream_mode: `${threadStreamModes.join(", ")}, with commas between`,
      after: "an event id, as in `last-event-id`",
    },
    headers: { "last-event-id": "go on behind this event; - is the start" },
    answers: { 200: events },
    refusals: [422],
  },
]);

export const stateOperations = operationsOf("State", [
  {
    route: `GET ${one}/state`,
    id: "getState",
    summary: "The latest state",
    flags: ["subgraphs"],
    answers: { 200: answer(threadState) },
  },
  {
    route: `POST ${one}/state`,
    id: "updateState",
    summary: "Writes a state, as a node would",
    body: updateStateBody,
    answers: { 200: answer(updatedState) },
    refusals: [409],
  },
  {
    route: `PATCH ${one}/state`,
    id: "patchState",
    summary: "Merges the metadata of the thread",
    body: patchStateBody,
    headers: minimal,
    answers: { 200: answer(thread), 204: nothing("as `prefer` asked") },
  },
  {
    route: `GET ${one}/state/:checkpoint_id`,
    id: "getStateAtCheckpoint",
    summary: "The state at a checkpoint",
    flags: ["subgraphs"],
    answers: { 200: answer(threadState) },
    refusals: [422],
  },
  {
    route: `POST ${one}/state/checkpoint`,
    id: "getStateAt",
    summary: "The state at a checkpoint, also of a subgraph",
    body: stateAtBody,
    answers: { 200: answer(threadState) },
  },
  {
    route: `GET ${one}/history`,
    id: "listHistory",
    summary: "Earlier states, newest first",
    query: historyQuery,
    answers: { 200: answer(z.array(threadState)) },
  },
  {
    route: `POST ${one}/history`,
    id: "searchHistory",
    summary: "Earlier states that match, newest first",
    body: historyBody,
    answers: { 200: answer(z.array(threadState)) },
  },
]);
