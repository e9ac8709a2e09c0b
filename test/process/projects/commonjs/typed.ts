import { build } from "./parts.js";

export const graph = build().compile();
