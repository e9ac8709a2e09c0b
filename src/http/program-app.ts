// The program's own routes (`http` of langgraph.json): a Hono app around all of ours.
import type { Hono } from "hono";
import { type ImportModule, importExport } from "../engine/exported.ts";
import type { Project } from "../engine/project.ts";

/** Throws ProjectError when the file does not export a Hono app. */
export async function loadProgramApp(
  project: Project,
  importModule: ImportModule,
): Promise<Hono | undefined> {
  const target = project.http.app;
  if (target === undefined) return undefined;
  const { value, refuse } = await importExport({ project, place: "http.app", target, importModule });
  if (isHono(value)) return value;
  throw refuse("a Hono app");
}

/** The program may have a copy of Hono of its own. */
const isHono = (value: unknown): value is Hono =>
  typeof value === "object" &&
  value !== null &&
  typeof (value as Partial<Hono>).fetch === "function" &&
  Array.isArray((value as Partial<Hono>).routes);
