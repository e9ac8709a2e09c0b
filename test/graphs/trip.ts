import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { Annotation, END, START, StateGraph } from "@langchain/langgraph";
import { defineEffect } from "holdfast";

const State = Annotation.Root({
  /** File in which the world writes down what took place: the judge, whatever the database says. */
  journal: Annotation<string>(),
});
type S = typeof State.State;

/** The world: it honours keys, and does nothing twice under the same one. */
function act(journal: string, deed: string, key: string): string {
  const known = existsSync(journal) && readFileSync(journal, "utf8").includes(key);
  if (!known) appendFileSync(journal, `${deed} ${key}\n`);
  appendFileSync(`${journal}.calls`, `${deed}\n`);
  return deed;
}

const booking = (name: string) =>
  defineEffect({
    name: `trip.${name}`,
    class: "compensatable",
    run: async ({ journal }: { journal: string }, { key }) => act(journal, `book ${name}`, key),
    compensate: async ({ args }, key) => act(args.journal, `cancel ${name}`, key),
  });
const flight = booking("flight");
const hotel = booking("hotel");
const car = booking("car");

/** Three bookings, then a fault: the trip is taken back. */
export const trip = new StateGraph(State)
  .addNode("flight", async ({ journal }: S) => void (await flight({ journal })))
  .addNode("hotel", async ({ journal }: S) => void (await hotel({ journal })))
  .addNode("car", async ({ journal }: S) => void (await car({ journal })))
  .addNode("visa", () => {
    throw new Error("no visa");
  })
  .addEdge(START, "flight")
  .addEdge("flight", "hotel")
  .addEdge("hotel", "car")
  .addEdge("car", "visa")
  .addEdge("visa", END)
  .compile();
