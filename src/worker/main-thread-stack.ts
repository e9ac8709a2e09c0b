import { Session } from "node:inspector";
import { setTimeout as sleep } from "node:timers/promises";

/** A thread inside native code does not answer: then there is no stack to show. */
const answerMillisMax = 1_000;
const framesMax = 30;

interface CallFrame {
  functionName: string;
  url: string;
  location: { lineNumber: number; columnNumber?: number };
}

/** What the main thread is doing, seen from a thread beside it, innermost call first. It stays paused: for a process
 * that is about to end. */
export async function mainThreadStack(): Promise<string[]> {
  const session = new Session();
  const paused = new Promise<string[]>((resolve) => {
    session.on("Debugger.paused", ({ params }) =>
      resolve((params.callFrames as CallFrame[]).slice(0, framesMax).map(described)),
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

function described({ functionName, url, location }: CallFrame): string {
  const place = `${url}:${location.lineNumber + 1}:${(location.columnNumber ?? 0) + 1}`;
  return `${functionName === "" ? "<anonymous>" : functionName} (${place})`;
}
