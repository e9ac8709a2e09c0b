import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { build } from "esbuild";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type HoldfastProcess, startHoldfast } from "../support/holdfast-process.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { chromiumPath, startChromium } from "./chromium.ts";
import { halfway, wordsOf } from "./words.ts";

const here = import.meta.dirname;
const seenMillisMax = 30_000;

if (chromiumPath === undefined)
  console.warn('no Chromium here, so the browser test is skipped: "apt-get install chromium" brings one');

let flags: string;
let database: TestDatabase;
let holdfast: HoldfastProcess;
let proxy: TcpProxy;
let site: Server;
let browser: Browser;
let page: Page;

async function servePage(): Promise<Server> {
  const { outputFiles } = await build({
    entryPoints: [path.join(here, "page/chat.tsx")],
    bundle: true,
    write: false,
    format: "esm",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"production"' },
  });
  const script = outputFiles[0]?.text ?? "";
  const html = '<!doctype html><div id="root"></div><script type="module" src="/chat.js"></script>';
  const server = createServer((request, response) => {
    const isScript = request.url === "/chat.js";
    response.setHeader(
      "content-type",
      isScript ? "text/javascript; charset=utf-8" : "text/html; charset=utf-8",
    );
    response.end(isScript ? script : html);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

const goOn = (turn: number): Promise<void> => writeFile(path.join(flags, `turn-${turn}`), "");
const answers = (): Promise<string[]> => page.locator("p.ai").allTextContents();

const toSee = (selector: string, text: string): Promise<void> =>
  page.locator(selector, { hasText: text }).first().waitFor({ timeout: seenMillisMax });

const firstHalf = (turn: number): string => wordsOf(turn).slice(0, halfway).join(" ");
const whole = (turn: number): string => wordsOf(turn).join(" ");

describe.skipIf(chromiumPath === undefined)("useStream of the SDK, in a browser", () => {
  beforeAll(async () => {
    flags = await mkdtemp(path.join(tmpdir(), "holdfast-chat-"));
    database = await createTestDatabase();
    [holdfast, site, browser] = await Promise.all([
      startHoldfast({
        DATABASE_URL: database.url,
        LANGGRAPH_JSON: path.join(here, "langgraph.json"),
        CHAT_FLAGS: flags,
      }),
      servePage(),
      startChromium(),
    ]);
    proxy = await startTcpProxy(holdfast.url);
  });
  afterAll(async () => {
    await browser?.close();
    await proxy?.close();
    site?.close();
    await holdfast?.end();
    await database?.drop();
    if (flags !== undefined) await rm(flags, { recursive: true, force: true });
  });

  beforeEach(async () => {
    page = await browser.newPage();
    const { port } = site.address() as AddressInfo;
    await page.goto(`http://127.0.0.1:${port}/?api=${encodeURIComponent(proxy.url)}`);
  });
  afterEach(async () => {
    expect.soft(await page.locator("#error").textContent()).toBe("");
    await page.close();
    for (const turn of [1, 2]) await rm(path.join(flags, `turn-${turn}`), { force: true });
  });

  it("streams tokens, catches up after a reload in mid-stream, is interrupted, and resumes", async () => {
    await page.locator("#send").click();
    await toSee("p.ai", firstHalf(1));

    await page.reload();
    await toSee("p.ai", firstHalf(1));
    expect(await answers()).toEqual([firstHalf(1)]);

    await goOn(1);
    await toSee("#question", "Shall I go on?");
    expect(await answers()).toEqual([whole(1)]);

    await page.locator("#resume").click();
    await toSee("p.ai", "You said: yes");
    await toSee("#state", "still");
    expect(await answers()).toEqual([whole(1), "You said: yes"]);
    expect(await page.locator("#question").textContent()).toBe("");
  });

  it("catches up by itself when the wire is cut in mid-stream", async () => {
    await page.locator("#send").click();
    await toSee("p.ai", firstHalf(1));

    expect(proxy.cut()).toBeGreaterThan(0);
    await goOn(1);
    await toSee("#question", "Shall I go on?");
    expect(await answers()).toEqual([whole(1)]);

    // The same page goes on with the thread.
    await goOn(2);
    await page.locator("#send").click();
    await toSee("p.ai", whole(2));
    await toSee("#question", "Shall I go on?");
    expect(await answers()).toEqual([whole(1), whole(2)]);
  });
});
