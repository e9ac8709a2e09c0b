import secureJson from "secure-json-parse";
import { z } from "zod";
import { documentCharactersMax } from "./reading.ts";

const Message = z.object({
  role: z.string(),
  content: z
    .union([z.string(), z.array(z.looseObject({ text: z.string().optional() })), z.null()])
    .optional(),
});

const messagesMax = 2_000;

/** The part of a chat completions request that the stand-in reads; the rest is ignored, not refused. */
export const ChatRequest = z.object({
  model: z.string().default("stand-in"),
  messages: z.array(Message).min(1).max(messagesMax),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().optional() }).nullish(),
});
export type ChatRequest = z.infer<typeof ChatRequest>;

export interface PromptDocument {
  id: string;
  text: string;
}

/** A second request about the same document: only these fields are read again. */
export interface Repair {
  fields: readonly string[];
  previous: Readonly<Record<string, unknown>>;
}

export type Prompt =
  | { task: "chat"; lastUserText: string }
  | {
      task: "purchase_agreement" | "commercial_contract";
      documents: readonly PromptDocument[];
      repair: Repair | undefined;
    };

const documentsMax = 20;
const documentBlock = /<document\s+id="(?<id>[^"\n]{1,500})"\s*>\r?\n?(?<text>[\s\S]*?)\r?\n?<\/document>/g;

/** Reads what is asked from the messages. */
export function readPrompt({ messages }: ChatRequest): Prompt {
  const textOf = (role: string) => messages.filter((m) => m.role === role).map(contentText);
  const system = [...textOf("system"), ...textOf("developer")].join("\n");
  const user = textOf("user").at(-1) ?? "";
  const task = /^\s*TASK:\s*extract\s+(?<task>purchase_agreement|commercial_contract)\s*$/m.exec(system)
    ?.groups?.task;
  if (task !== "purchase_agreement" && task !== "commercial_contract")
    return { task: "chat", lastUserText: user };
  const documents = [...user.matchAll(documentBlock)].slice(0, documentsMax).map((match) => ({
    id: match.groups?.id ?? "",
    text: (match.groups?.text ?? "").slice(0, documentCharactersMax),
  }));
  // Outside of the documents only: what a contract says must not become an order.
  return { task, documents, repair: readRepair(user.replaceAll(documentBlock, "")) };
}

export const contentText = ({ content }: z.infer<typeof Message>): string =>
  typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join("\n");

const Findings = z.array(z.looseObject({ path: z.string() }));
const Names = z.array(z.string());
const Previous = z.record(z.string(), z.unknown());

function readRepair(text: string): Repair | undefined {
  const findings = Findings.safeParse(json(section(text, "findings")));
  const listed = section(text, "fields");
  if (!findings.success && listed === undefined) return undefined;
  const names = Names.safeParse(json(listed));
  const asked = names.success ? names.data : (listed ?? "").split(/[\s,]+/).filter((name) => name !== "");
  const paths = asked.length > 0 ? asked : findings.success ? findings.data.map(({ path }) => path) : [];
  const previous = Previous.safeParse(json(section(text, "previous")));
  return {
    fields: [...new Set(paths.map((path) => path.split(/[.[]/, 1)[0] ?? ""))],
    previous: previous.success ? previous.data : {},
  };
}

function section(text: string, name: string): string | undefined {
  const open = text.indexOf(`<${name}>`);
  const close = text.indexOf(`</${name}>`, open);
  return open < 0 || close < 0 ? undefined : text.slice(open + name.length + 2, close).trim();
}

function json(text: string | undefined): unknown {
  return text === undefined ? undefined : secureJson.safeParse(text);
}
