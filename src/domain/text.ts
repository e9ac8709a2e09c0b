/** A text that Postgres takes in text and jsonb columns: no NUL, no half of a surrogate pair, cut to `charsMax`. */
export function storable(text: string, charsMax: number): string {
  return text.slice(0, charsMax).toWellFormed().replaceAll("\u0000", "\ufffd");
}
