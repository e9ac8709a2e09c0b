import { z } from "zod";
import {
  countAssistantsBody,
  createAssistantBody,
  drawingQuery,
  latestBody,
  patchAssistantBody,
  searchAssistantsBody,
  versionsBody,
} from "../schemas/assistant.ts";
import {
  assistant,
  assistantVersion,
  countAnswer,
  drawing,
  foundAssistant,
  graphSchemas,
  id,
  subgraphs,
} from "./answers.ts";
import { answer, operationsOf, page } from "./operation.ts";

const one = "/assistants/:assistant_id" as const;

export const assistantOperations = operationsOf("Assistants", [
  {
    route: "POST /assistants",
    id: "createAssistant",
    summary: "Makes an assistant: a graph with a config of its own",
    body: createAssistantBody,
    answers: { 200: answer(assistant) },
    refusals: [409],
  },
  {
    route: "POST /assistants/search",
    id: "searchAssistants",
    summary: "Assistants that match, with those of the graphs themselves",
    body: searchAssistantsBody,
    answers: { 200: page(z.array(foundAssistant)) },
  },
  {
    route: "POST /assistants/count",
    id: "countAssistants",
    summary: "How many assistants match",
    body: countAssistantsBody,
    answers: { 200: answer(countAnswer) },
  },
  {
    route: `GET ${one}`,
    id: "getAssistant",
    summary: "One assistant",
    answers: { 200: answer(assistant) },
  },
  {
    route: `PATCH ${one}`,
    id: "patchAssistant",
    summary: "Makes its next version: metadata merged, the rest replaced where sent",
    body: patchAssistantBody,
    answers: { 200: answer(assistant) },
    refusals: [403, 409],
  },
  {
    route: `DELETE ${one}`,
    id: "deleteAssistant",
    summary: "Deletes it; its runs go on",
    flags: ["delete_threads"],
    answers: { 200: answer(z.array(id)) },
    refusals: [403, 409],
  },
  {
    route: `POST ${one}/versions`,
    id: "listAssistantVersions",
    summary: "Its versions, newest first",
    body: versionsBody,
    answers: { 200: answer(z.array(assistantVersion)) },
  },
  {
    route: `POST ${one}/latest`,
    id: "setLatestAssistantVersion",
    summary: "Brings an older version back",
    body: latestBody,
    answers: { 200: answer(assistant) },
    refusals: [403],
  },
  {
    route: `GET ${one}/graph`,
    id: "drawGraph",
    summary: "Its graph, as nodes and edges",
    query: drawingQuery,
    answers: { 200: answer(drawing) },
  },
  {
    route: `GET ${one}/schemas`,
    id: "getGraphSchemas",
    summary: "Schemas of its graph's input, output, state and config",
    answers: { 200: answer(graphSchemas) },
  },
  {
    route: `GET ${one}/subgraphs`,
    id: "listSubgraphs",
    summary: "Its subgraphs, with their schemas",
    flags: ["recurse"],
    answers: { 200: answer(subgraphs) },
  },
  {
    route: `GET ${one}/subgraphs/:namespace`,
    id: "getSubgraphs",
    summary: "Subgraphs below a node",
    flags: ["recurse"],
    answers: { 200: answer(subgraphs) },
  },
]);
