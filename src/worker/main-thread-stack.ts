import { Session } from "node:inspector";
import { setTimeout as sleep } from "node:timers/promises";

/** A thread inside native code does not answer: then there is no stack to show. On a machine under load an answer may
 * take a second. */
const answerMillisMax = 3_000;
const framesMax = 30;

interface CallFrame {
  functionName: string;
  location: { scriptId: string; lineNumber: number; columnNumber?: number };
}

/** What the main thread is doing, seen from a thread beside it, innermost call first. It stays paused: for a process
 * that is about to end. */
export async function mainThreadStack(): Promise<string[]> {
  const session = new Session();
  // A frame's own url is empty for modules.
  const urls = new Map<string, string>();
  session.on("Debugger.scriptParsed", ({ params }) => urls.set(params.scriptId, params.url));
  const paused = new Promise<string[]>((resolve) => {
    session.on("Debugger.paused", ({ params }) =>
      resolve((params.callFrames as CallFrame[]).slice(0, framesMax).map((frame) => described(frame, urls))),
    );
  });
  try {
    session.connectToMainThread();
    session.post("Debugger.enable");
    session.post("Debugger.pause");
  } catch (error) {
    return [`no stack: ${(error as Error).message}`];
  }
  const late = sleep(answerMillisMax, ["no stack: the thread is inside native code"]);
  return Promise.race([paused, late]);
}

function described({ functionName, location }: CallFrame, urls: Map<string, string>): string {
  const { scriptId, lineNumber, columnNumber = 0 } = location;
  const place = `${urls.get(scriptId) ?? "unknown"}:${lineNumber + 1}:${columnNumber + 1}`;
  return `${functionName === "" ? "<anonymous>" : functionName} (${place})`;
}
