/** The built-in Postgres cannot run here. The message names the cure. */
export class EmbeddedPostgresError extends Error {
  override name = "EmbeddedPostgresError";
}

export const useYourOwn = "or set DATABASE_URL to a Postgres of your own (15 or newer)";

/** The code of a Node or Postgres error, "" when there is none. */
export function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return String(error.code);
}

export const isDenied = (error: unknown): boolean => ["EACCES", "EPERM", "EROFS"].includes(codeOf(error));
