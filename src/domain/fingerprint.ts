import { createHash } from "node:crypto";
import { isKnownCode } from "./advice.ts";
import type { RunError } from "./run.ts";

const fingerprintChars = 16;
const messageCharsMax = 300;
/** The place of a fault and who called it; deeper frames differ by the way a graph got there. */
const framesMax = 3;
const stackLinesMax = 100;

/**
 * What dead runs of one cause share, 16 hex digits: code, error name, the message without its particulars and, for an
 * error of graph code, where it was thrown. Not the graph: a spent quota ends runs of every graph for one cause.
 */
export function fingerprintOf(error: RunError): string {
  // What the runtime names itself has its cause outside of the graph: where it came up does not matter.
  const frames = isKnownCode(error.code) ? [] : ownFrames(error.stack ?? "");
  const parts = [error.code, error.name, folded(error.message), ...frames];
  return createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, fingerprintChars);
}

/** In order: what contains others first. Each matches in linear time. */
const particulars: readonly [RegExp, string][] = [
  [/\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s"'`<>)]+/gi, "<url>"],
  [/"[^"\n]*"|`[^`\n]*`|(?<!\w)'[^'\n]*'(?!\w)|“[^”\n]*”/g, "<text>"],
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, "<id>"],
  [/(?<![\w.])(?:[a-z]:)?(?:[\\/][\w.@~-]+){2,}/gi, "<path>"],
  [/\b0x[0-9a-f]+\b/gi, "<hex>"],
  [/\b(?=[a-f]*\d)[0-9a-f]{8,}\b/gi, "<hex>"],
  // An id of letters and digits, as providers give to requests: req_8fK2x91.
  [/\b[A-Za-z]+[_-](?=[A-Za-z]*\d)[A-Za-z0-9]{6,}\b/g, "<id>"],
  [/[+-]?\d+(?:[.,:]\d+)*/g, "<n>"],
  [/\s+/g, " "],
];

/** The message of an error with ids, numbers, quoted values and paths replaced by what they are. */
export function folded(message: string): string {
  let text = message.slice(0, messageCharsMax * 4);
  for (const [pattern, name] of particulars) text = text.replace(pattern, name);
  return text.trim().slice(0, messageCharsMax);
}

/** `function file` of the frames in the graph's own code: lines move with every edit, folders with every machine. */
function ownFrames(stack: string): string[] {
  const frames: string[] = [];
  for (const line of stack.split("\n", stackLinesMax)) {
    const at = /^\s+at (?:(.*?) \()?(.*?)(?::\d+){0,2}\)?$/.exec(line);
    const file = at?.[2] ?? "";
    if (at === null || file.startsWith("node:") || /[\\/]node_modules[\\/]|^<anonymous>$/.test(file))
      continue;
    frames.push(`${at[1] ?? ""} ${file.replace(/\?.*$/, "").split(/[\\/]/).at(-1)}`);
    if (frames.length === framesMax) break;
  }
  return frames;
}
