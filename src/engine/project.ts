import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { type Lifetimes, ttlStrategies } from "../domain/lifetimes.ts";

function isRegex(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp;
  } catch {
    return false;
  }
}

const target = z.string().min(1);
const graphEntry = z.union([
  target.transform((path) => ({ path, description: null, version: null })),
  z.object({
    path: target,
    description: z.string().nullable().default(null),
    version: z.string().nullable().default(null),
  }),
]);
const envValue = z.union([z.string(), z.number(), z.boolean()]).transform(String);

const dimensionsMax = 16_384;
const indexFieldsMax = 32;
const storeIndex = z.object({
  embed: target,
  dims: z.int().min(1).max(dimensionsMax),
  fields: z.array(z.string().min(1)).min(1).max(indexFieldsMax).default(["$"]),
});

const lifetimeMinutesMax = 10 * 365 * 24 * 60;
const minutes = z.number().positive().max(lifetimeMinutesMax);
/** Ends are looked for every half minute, which is as often as any interval here asks for. */
const lifetime = z.object({ default_ttl: minutes.optional(), sweep_interval_minutes: minutes.optional() });

const cors = z.object({
  allow_origins: z.array(z.string()).optional(),
  allow_origin_regex: z.string().refine(isRegex, "not a regular expression").optional(),
  allow_methods: z.array(z.string()).optional(),
  allow_headers: z.array(z.string()).optional(),
  allow_credentials: z.boolean().optional(),
  expose_headers: z.array(z.string()).optional(),
  max_age: z.number().optional(),
});
const httpPart = z.object({
  app: target.optional(),
  disable_assistants: z.boolean().default(false),
  disable_threads: z.boolean().default(false),
  disable_runs: z.boolean().default(false),
  disable_store: z.boolean().default(false),
  disable_meta: z.boolean().default(false),
  cors: cors.optional(),
});

/** It is a part of a path, and the name of a folder. */
const uiAgent = z.string().regex(/^[^/\\]*[^/\\.][^/\\]*$/);

/** The parts of `langgraph.json` that mean something here. Those for building images are left alone. */
const projectFile = z.object({
  graphs: z.record(z.string().min(1), graphEntry),
  /** The name of a file, or the variables themselves. */
  env: z.union([z.string(), z.record(z.string().min(1), envValue)]).default({}),
  store: z
    .object({
      index: storeIndex.optional(),
      ttl: lifetime.extend({ refresh_on_read: z.boolean().default(true) }).optional(),
    })
    .default({}),
  checkpointer: z
    .object({
      ttl: lifetime.extend({ strategy: z.enum(ttlStrategies).default("delete") }).optional(),
    })
    .default({}),
  /** `disable_studio_auth` means nothing: nobody passes the program's auth by saying to be the Studio. */
  auth: z.object({ path: target.optional() }).optional(),
  http: httpPart.prefault({}),
  /** Components to show what a graph pushes, by agent: a file whose default export has them by name. */
  ui: z.record(uiAgent, target).default({}),
  ui_config: z.object({ shared: z.array(z.string()).optional() }).default({}),
});

export type ProgramHttp = z.infer<typeof httpPart>;

export type Project = z.infer<typeof projectFile> & {
  /** Paths of the file are relative to its folder. */
  file: string;
  folder: string;
};

export class ProjectError extends Error {
  override readonly name = "ProjectError";
}

/** Reads `langgraph.json`. Throws ProjectError naming the field that is wrong. */
export async function readProject(file: string): Promise<Project> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new ProjectError(`${file} cannot be read: it must list the graphs to serve`, { cause });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ProjectError(`${file} is not valid JSON: ${(cause as Error).message}`, { cause });
  }
  const parsed = projectFile.safeParse(json);
  if (!parsed.success) throw new ProjectError(`${file}:\n${z.prettifyError(parsed.error)}`);
  return { ...parsed.data, file, folder: path.dirname(path.resolve(file)) };
}

/** What `ttl` of its checkpointer and its store say. */
export function lifetimesOf({ store, checkpointer }: Pick<Project, "store" | "checkpointer">): Lifetimes {
  const { default_ttl: minutes, strategy = "delete" } = checkpointer.ttl ?? {};
  return {
    thread: minutes === undefined ? null : { minutes, strategy },
    itemMinutes: store.ttl?.default_ttl ?? null,
    refreshOnRead: store.ttl?.refresh_on_read ?? true,
  };
}
