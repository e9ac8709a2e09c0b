import { z } from "zod";
import { nameCharsMax } from "./common.ts";

/** Which of an agent's components a page wants to show. */
export const componentBody = z.object({ name: z.string().max(nameCharsMax) });
