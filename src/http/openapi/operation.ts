import type { z } from "zod";
import { nameCharsMax, shortText, threadName, uuid } from "../schemas/common.ts";
import { values } from "./answers.ts";

export type Method = "get" | "put" | "post" | "patch" | "delete";

export interface Answer {
  description: string;
  /** By media type; null where nothing can be said about the content. */
  content: Readonly<Record<string, z.ZodType | null>>;
  /** What each header says. */
  headers?: Readonly<Record<string, string>>;
}

/** What a route takes and gives. The schemas are the objects that its handler parses with. */
export interface Operation {
  method: Method;
  /** As the route has it: `/threads/:thread_id`. */
  path: string;
  id: string;
  tag: string;
  summary: string;
  body?: z.ZodType;
  query?: z.ZodObject;
  /** Names of the query that are read as yes or no. */
  flags?: readonly string[];
  /** Names of the query that are read as text, with what they say. */
  texts?: Readonly<Record<string, string>>;
  headers?: Readonly<Record<string, string>>;
  /** By status, when it went well. */
  answers: Readonly<Record<number, Answer>>;
  /** Statuses of refusals, beside those that every operation with such a path, query or body has. */
  refusals?: readonly number[];
  /** Answers before anybody is known, without a limit of requests. */
  open?: boolean;
}

/** An operation as the tables have it, one entry each: `route` is "POST /threads". */
export type Entry = Omit<Operation, "method" | "path" | "tag"> & { route: `${Uppercase<Method>} /${string}` };

export const operationsOf = (tag: string, entries: readonly Entry[]): Operation[] =>
  entries.map(({ route, ...entry }) => {
    const [method = "", path = ""] = route.split(" ");
    return { ...entry, tag, path, method: method.toLowerCase() as Method };
  });

export const answer = (schema: z.ZodType, description = "OK"): Answer => ({
  description,
  content: { "application/json": schema },
});
export const nothing = (description: string): Answer => ({ description, content: {} });
export const content = (mediaType: string, description: string): Answer => ({
  description,
  content: { [mediaType]: null },
});

export const page = (schema: z.ZodType): Answer => ({
  ...answer(schema),
  headers: {
    "x-pagination-total": "how many there are",
    "x-pagination-next": "the offset of the next page, where there is one",
  },
});

export const events: Answer = {
  ...content("text/event-stream", "server-sent events, each with an id to come back to"),
  headers: { location: "where to go on after a break", "content-location": "the run" },
};

/** Line breaks come first while the run goes on. */
export const atTheEnd: Answer = answer(values, "the values when the run has ended");

/** What stands in a path, by name. */
export const pathParameters: Readonly<Record<string, z.ZodType>> = {
  thread_id: threadName.describe("its id, or `key:` and its caller's own key"),
  run_id: uuid,
  cron_id: uuid,
  delivery_id: uuid,
  id: uuid,
  assistant_id: shortText.describe("an id, or a graph's name for its own assistant"),
  checkpoint_id: shortText,
  agent: shortText.describe("as `ui` of langgraph.json names it"),
  basename: shortText,
  namespace: shortText.describe("names of nodes, joined by |"),
  target: shortText.describe(`provider and model, up to ${nameCharsMax} characters, a slash as %2F`),
};

export const parametersOf = (path: string): string[] =>
  [...path.matchAll(/:(\w+)/g)].map(([, name]) => name ?? "");
