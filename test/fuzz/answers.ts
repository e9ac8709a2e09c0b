// Whether an answer is what the document says.
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import type { OpenApiDocument } from "../../src/http/openapi/document.ts";
import type { PlannedRequest } from "./requests.ts";

export interface Received {
  status: number;
  headers: Headers;
  text: string;
  /** The text is a beginning: the client left. */
  cut: boolean;
}

const segment = (name: string): string =>
  encodeURIComponent(name.replaceAll("~", "~0").replaceAll("/", "~1"));

export class AnswerCheck {
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: false });
  readonly #compiled = new Map<string, ValidateFunction>();

  constructor(document: OpenApiDocument) {
    this.#ajv.addSchema(document, "api");
  }

  /** What is wrong with it; null when nothing is. */
  faultOf(
    { method, path, operation }: PlannedRequest,
    { status, headers, text, cut }: Received,
  ): string | null {
    // The database is there all the time: whoever came back as a 503 says got another answer.
    if (status >= 500) return `${status}: ${text.slice(0, 300)}`;
    const documented = operation.responses[status];
    if (documented === undefined) return `status ${status} is not documented: ${text.slice(0, 300)}`;
    const type = headers.get("content-type")?.split(";")[0];
    if (documented.content === undefined)
      return text === "" ? null : `a ${status} has no content, got ${text.slice(0, 300)}`;
    // Of files with any type only their names say which.
    if (type !== undefined && "*/*" in documented.content) return text === "" ? "an empty answer" : null;
    if (type === undefined || documented.content[type] === undefined)
      return `${status} as ${type} is not documented: ${text.slice(0, 300)}`;
    if (type === "text/event-stream") return streamFault(text, cut);
    if (!type.endsWith("json")) return text === "" ? "an empty answer" : null;
    // Line breaks come while a run goes on, and then the whole answer at once.
    if (cut && text.trim() === "") return null;
    const place = ["paths", path, method, "responses", String(status), "content", type, "schema"];
    return this.#mismatch(`api#/${place.map(segment).join("/")}`, text);
  }

  #mismatch(reference: string, text: string): string | null {
    const validate = this.#compiled.get(reference) ?? this.#ajv.compile({ $ref: reference });
    this.#compiled.set(reference, validate);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      return `no JSON: ${(error as Error).message}: ${text.slice(0, 300)}`;
    }
    if (validate(value)) return null;
    return `${this.#ajv.errorsText(validate.errors)}: ${text.slice(0, 600)}`;
  }
}

/** Frames of `event`, `data` in JSON and `id`, with comments between them. */
function streamFault(text: string, cut: boolean): string | null {
  const frames = text.replace(/^:.*\n/gm, "").split("\n\n");
  const last = frames.pop();
  if (!cut && last !== "") return `a stream ends within a frame: ${last?.slice(-300)}`;
  for (const frame of frames) {
    const data = /^event: [^\n]+\ndata: ([^\n]*)(\nid: [^\n]+)?\n?$/.exec(frame)?.[1];
    if (data === undefined) return `an odd frame: ${frame.slice(0, 300)}`;
    try {
      JSON.parse(data);
    } catch {
      return `a frame without JSON: ${frame.slice(0, 300)}`;
    }
  }
  return null;
}
