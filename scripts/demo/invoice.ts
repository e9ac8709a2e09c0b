import { Annotation, END, START, StateGraph } from "@langchain/langgraph";
import { effect } from "holdfast";

/** Two tools of the demo's world, which loses its answers: a bank that can be asked, and a post office that cannot. */
const State = Annotation.Root({ world: Annotation<string>(), invoice: Annotation<string>() });
type Invoice = typeof State.State;

async function pay({ world, invoice }: Invoice): Promise<Partial<Invoice>> {
  const args = { invoice, amount: "1,250.00 EUR" };
  const lookup = async (key: string) => {
    const response = await fetch(`${world}/payments/${key}`);
    return response.ok ? { found: true as const, result: await response.json() } : { found: false as const };
  };
  await effect({ name: "pay_invoice", class: "queryable", args, lookup }, (key) =>
    send(`${world}/payments`, key, args),
  );
  return {};
}

async function write({ world, invoice }: Invoice): Promise<Partial<Invoice>> {
  const args = { invoice, text: "We have paid." };
  await effect({ name: "send_letter", class: "at_most_once", args }, (key) =>
    send(`${world}/letters`, key, args),
  );
  return {};
}

async function send(url: string, key: string, body: unknown): Promise<unknown> {
  const headers = { "content-type": "application/json", "idempotency-key": key };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  return response.json();
}

export const graph = new StateGraph(State)
  .addNode("pay", pay)
  .addNode("write", write)
  .addEdge(START, "pay")
  .addEdge("pay", "write")
  .addEdge("write", END)
  .compile();
