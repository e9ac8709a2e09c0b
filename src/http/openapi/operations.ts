import { assistantOperations } from "./assistants.ts";
import type { Operation } from "./operation.ts";
import {
  deadLetterOperations,
  escalationOperations,
  serverOperations,
  uiOperations,
  watchOperations,
} from "./own.ts";
import { protocolOperations } from "./protocol.ts";
import { cronOperations, runOperations, statelessRunOperations } from "./runs.ts";
import { storeOperations } from "./store.ts";
import { stateOperations, threadOperations } from "./threads.ts";

/** Every route of the app, in the order of the document. A test holds the two together. */
export const operations: readonly Operation[] = [
  ...assistantOperations,
  ...threadOperations,
  ...stateOperations,
  ...runOperations,
  ...statelessRunOperations,
  ...protocolOperations,
  ...cronOperations,
  ...storeOperations,
  ...escalationOperations,
  ...deadLetterOperations,
  ...watchOperations,
  ...uiOperations,
  ...serverOperations,
];
