import { rm, writeFile } from "node:fs/promises";
import path from "node:path";
import vm from "node:vm";
import { Client } from "@langchain/langgraph-sdk";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { readProject } from "../../src/engine/project.ts";
import { listen } from "../../src/http/listen.ts";
import { loadProgramUi } from "../../src/http/program-ui.ts";
import { makeStateFolder } from "../support/state-folder.ts";
import { startUsers, type Users } from "../support/users.ts";

let u: Users;
let server: Awaited<ReturnType<typeof listen>>;
let client: Client;
beforeAll(async () => {
  u = await startUsers("ui/langgraph.json");
  server = await listen({ app: u.app, host: "127.0.0.1", port: 0 });
  client = new Client({ apiUrl: server.url, defaultHeaders: { authorization: "Bearer alice" } });
});
afterAll(async () => {
  await server.stop();
  await u.close();
});

const component = (name: string, agent = "weather") => client["~ui"].getComponent(agent, name);

describe("generative UI", () => {
  it("pushes components into custom events and the state, as they were merged and removed", async () => {
    const { thread_id } = await client.threads.create();
    const seen: unknown[] = [];
    for await (const { event, data } of client.runs.stream(thread_id, "weather", {
      input: {},
      streamMode: ["custom", "values"],
    })) {
      if (event === "custom") seen.push(data);
    }
    const card = { type: "ui", id: "card", name: "weather", metadata: { id: "answer" } };
    expect(seen).toMatchObject([
      { ...card, props: { city: "Oslo" } },
      { ...card, props: { hours: 3 }, metadata: { merge: true, id: "answer" } },
      { type: "ui", id: "passing" },
      { type: "remove-ui", id: "passing" },
    ]);
    const { values } = await client.threads.getState<{ ui: unknown[] }>(thread_id);
    expect(values.ui).toMatchObject([{ ...card, props: { city: "Oslo", hours: 3 } }]);
    const [run] = await client.runs.list(thread_id);
    expect(values.ui).toMatchObject([{ metadata: { run_id: run?.run_id } }]);
  });

  it("gives a page to a user, and its files to everybody", async () => {
    expect((await u.as("alice", "POST", "/ui/weather", { name: "weather" })).status).toBe(200);
    expect((await u.as(null, "POST", "/ui/weather", { name: "weather" })).status).toBe(401);
    expect((await u.as(null, "GET", "/ui/weather/entrypoint.js")).status).toBe(200);
  });

  it("gives the SDK a page whose files are there, and whose script renders the component", async () => {
    const html = await component("weather");
    const [, css] = /href="([^"]+)"/.exec(html) ?? [];
    const [, js, onload] = /<script src="([^"]+)" onload='([^']+)'>/.exec(html) ?? [];
    const style = await fetch(String(css));
    expect(style.headers.get("content-type")).toContain("text/css");
    expect(await style.text()).toContain("rebeccapurple");
    const script = await fetch(String(js));
    expect(script.headers.get("content-type")).toContain("javascript");
    expect(rendered(await script.text(), String(onload))).toEqual({
      root: "{{shadowRootId}}",
      text: "It rains in Oslo",
    });
  });

  it("does not let a name or a host end the markup that it stands in", async () => {
    const html = await component("a'><img src=x onerror='alert(1)");
    expect(html).not.toContain("'><img");
    const host = 'x"><script>';
    expect((await u.as("alice", "POST", "/ui/weather", { name: "weather" }, { host })).status).toBe(400);
  });

  it("says what is not there", async () => {
    await expect(component("weather", "nobody")).rejects.toThrow(/404.*UI not found for agent "nobody"/);
    const missing = await fetch(`${server.url}/ui/weather/..%2Fgraphs.ts`);
    expect([missing.status, await missing.text()]).toEqual([404, "File not found"]);
    expect(await u.as("alice", "POST", "/ui/weather", {})).toMatchObject({
      status: 422,
      json: { error: { issues: [{ path: ["name"] }] } },
    });
  });
});

/** What a page shows: runs the bundle and its onload with a stand-in for the SDK's page and for React. */
function rendered(script: string, onload: string): unknown {
  const modules: Record<string, unknown> = {
    react: { createElement: (_type: string, _props: object, text: string) => text },
    "a-shared-package": { shared: "wet" },
  };
  const shown: { root?: string; text?: string } = {};
  type Component = (props: object) => string;
  const store = {
    respond: (root: string, made: Component) => Object.assign(shown, { root, text: made({ city: "Oslo" }) }),
  };
  const element = { shadowRoot: { appendChild: () => undefined } };
  const context = vm.createContext({
    document: { getElementById: () => element, createElement: () => element },
    [Symbol.for("LGUI_REQUIRE")]: (name: string) => modules[name],
    [Symbol.for("LGUI_EXT_STORE")]: store,
  });
  vm.runInContext(`globalThis.window = globalThis;\n${script}\n${onload}`, context);
  return shown;
}

describe("ui of a langgraph.json", () => {
  const folder = async (): Promise<string> => {
    const made = await makeStateFolder("ui-");
    onTestFinished(() => rm(made, { recursive: true }));
    return made;
  };
  const load = async (ui: object, components: string) => {
    const made = await folder();
    await writeFile(path.join(made, "langgraph.json"), JSON.stringify({ graphs: {}, ui }));
    await writeFile(path.join(made, "components.js"), components);
    return loadProgramUi(await readProject(path.join(made, "langgraph.json")), (url) => import(url));
  };

  it("names the agent and the place of components that do not build", async () => {
    const wrong = load({ weather: "./components.js" }, 'import "./nowhere.js";');
    await expect(wrong).rejects.toThrow(
      /ui\.weather: \.\/components\.js: [\s\S]*Could not resolve "\.\/nowhere\.js"/,
    );
  });

  it("names the package that bundles where it is not installed", async () => {
    const project = await readProject(path.join(import.meta.dirname, "../graphs/ui/langgraph.json"));
    await expect(loadProgramUi(project, async () => ({}))).rejects.toThrow(
      /ui needs the package @langchain\/langgraph-ui: npm install --save-exact @langchain\/langgraph-ui@\d/,
    );
  });

  it.each(["..", "a/b", ""])("takes no agent of the name %j, which is no folder", async (name) => {
    await expect(load({ [name]: "./components.js" }, "")).rejects.toThrow(/Invalid key in record\s+→ at ui/);
  });
});
