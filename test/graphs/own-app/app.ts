import { EventEmitter } from "node:events";
import { Client } from "@langchain/langgraph-sdk";
import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";

/** Emits `told` with what a webhook told, and to whom it was said to be. */
export const hooks = new EventEmitter();

interface Env {
  Variables: { auth?: { user: { identity: string }; scopes: string[] } };
}

const app = new Hono<Env>();
app.use("*", async (c, next) => {
  await next();
  c.header("x-program", "was here");
});
app.use("/threads", async (c, next) => {
  const { refuse } = await c.req.json<{ refuse?: boolean }>();
  return refuse === true ? c.text("not in this program", 418) : next();
});
app.get("/orders/:id", (c) => c.json({ id: c.req.param("id"), ...c.get("auth") }));
app.get("/info", (c) => c.json({ mine: true }));
app.get("/teapot", () => {
  throw new HTTPException(418, { message: "short and stout" });
});
app.get("/broken", () => {
  throw new Error("a secret of the program");
});
app.get("/mine", async (c) => {
  const authorization = c.req.header("authorization") ?? "";
  return c.json(await new Client({ defaultHeaders: { authorization } }).threads.search());
});
app.post("/hooks/:answer", async (c) => {
  hooks.emit("told", { user: c.get("auth")?.user.identity, body: await c.req.json() });
  return c.body(null, c.req.param("answer") === "ok" ? 200 : 500);
});

// biome-ignore lint/style/noDefaultExport: what langgraph.json means when it names no export
export default app;
