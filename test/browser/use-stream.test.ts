import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { type HoldfastProcess, startHoldfast } from "../support/holdfast-process.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { chromiumPath, startChromium } from "./chromium.ts";
import { type PageName, serveSite } from "./site.ts";
import { halfway, wordsOf } from "./words.ts";

const here = import.meta.dirname;
const seenMillisMax = 90_000;

if (chromiumPath === undefined)
  console.warn('no Chromium here, so the browser test is skipped: "apt-get install chromium" brings one');

let flags: string;
let database: TestDatabase;
let holdfast: HoldfastProcess;
let proxy: TcpProxy;
let site: Server;
let browser: Browser;
let page: Page;

async function open(name: PageName): Promise<void> {
  const { port } = site.address() as AddressInfo;
  await page.goto(`http://127.0.0.1:${port}/${name}?api=${encodeURIComponent(proxy.url)}`);
}

const goOn = (turn: number): Promise<void> => writeFile(path.join(flags, `turn-${turn}`), "");
const answers = (): Promise<string[]> => page.locator("p.ai").allTextContents();

const toSee = (selector: string, text: string): Promise<void> =>
  page.locator(selector, { hasText: text }).first().waitFor({ timeout: seenMillisMax });

const firstHalf = (turn: number): string => wordsOf(turn).slice(0, halfway).join(" ");
const whole = (turn: number): string => wordsOf(turn).join(" ");

describe.skipIf(chromiumPath === undefined)("the React parts of the SDK, in a browser", () => {
  beforeAll(async () => {
    flags = await mkdtemp(path.join(tmpdir(), "holdfast-chat-"));
    database = await createTestDatabase();
    [holdfast, site, browser] = await Promise.all([
      startHoldfast({
        DATABASE_URL: database.url,
        LANGGRAPH_JSON: path.join(here, "langgraph.json"),
        CHAT_FLAGS: flags,
      }),
      serveSite(),
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
  });
  afterEach(async () => {
    expect.soft(await page.locator("#error").textContent()).toBe("");
    await page.close();
    for (const turn of [1, 2]) await rm(path.join(flags, `turn-${turn}`), { force: true });
  });

  it("streams tokens, catches up after a reload in mid-stream, is interrupted, and resumes", async () => {
    await open("chat");
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
    await open("chat");
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

  it("loads the component that a graph pushed, with the page's React, its stream and a style of its own", async () => {
    await open("weather");
    await page.locator("#send").click();

    await toSee(".forecast", "It rains in Oslo for 3 hours");
    await page.locator(".advice", { hasText: "And now?" }).click();
    await toSee(".advice", "Take an umbrella.");
    // It stands in a shadow root: the page's styles do not reach it, nor its own the page.
    const style =
      "document.querySelector('.loaded').shadowRoot.querySelector('link[rel=stylesheet]').sheet !== null";
    await page.waitForFunction(style, undefined, { timeout: seenMillisMax });
    const colour =
      "getComputedStyle(document.querySelector('.loaded').shadowRoot.querySelector('.forecast')).color";
    expect(await page.evaluate(colour)).toBe("rgb(102, 51, 153)");
  });
});
