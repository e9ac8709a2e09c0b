import { effect } from "holdfast";
import parts from "./parts.js";

/** An ES module that shares its parts with CommonJS. */
export const make = async () => {
  if (effect !== parts.effect) throw new Error("there are two copies of holdfast");
  return parts.build();
};
