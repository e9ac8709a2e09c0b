import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { Hono } from "hono";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listen } from "../../src/http/listen.ts";
import { openTestApp, type TestApp } from "../support/http.ts";

const bodyBytesMax = 10_000;

let t: TestApp;
let server: Awaited<ReturnType<typeof listen>>;
beforeAll(async () => {
  t = await openTestApp({ bodyBytesMax });
  server = await listen({ app: t.app, host: "127.0.0.1", port: 0 });
});
afterAll(async () => {
  await server.stop();
  await t.close();
});

const open = (headers: Record<string, string | number>): ClientRequest =>
  request(`${server.url}/threads`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
  });

async function answerTo(sent: ClientRequest): Promise<{ status: number | undefined; body: string }> {
  // What is still being sent when the answer comes may be refused.
  sent.on("error", () => undefined);
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return { status: response.statusCode, body: await text(response) };
}

const thread = (note: string) => Buffer.from(JSON.stringify({ metadata: { note } }));
const threads = async (): Promise<number> => (await t.rows()).threads ?? Number.NaN;

describe.each(["content-length", "transfer-encoding"] as const)(
  "a body over Node's own server, told by %s",
  (told) => {
    const headersFor = (body: Buffer): Record<string, string | number> =>
      told === "content-length" ? { [told]: body.length } : { [told]: "chunked" };

    it("is read whole, however it comes in", async () => {
      const body = thread("é€💬");
      const sent = open(headersFor(body));
      const answer = answerTo(sent);
      for (const byte of body) {
        sent.write(Buffer.from([byte]));
        await new Promise(setImmediate);
      }
      sent.end();
      const { status, body: made } = await answer;
      expect(status).toBe(200);
      expect(JSON.parse(made).metadata.note).toBe("é€💬");
    });

    it("is refused where it is not UTF-8", async () => {
      const body = Buffer.concat([
        Buffer.from('{"metadata": {"note": "'),
        Buffer.from([0xff]),
        Buffer.from('"}}'),
      ]);
      const before = await threads();
      const answer = await answerTo(open(headersFor(body)).end(body));
      expect(answer).toMatchObject({ status: 400, body: expect.stringContaining("it is not UTF-8") });
      expect(await threads()).toBe(before);
    });

    it("is refused where it is too large", async () => {
      const body = thread("x".repeat(bodyBytesMax));
      const before = await threads();
      const answer = await answerTo(open(headersFor(body)).end(body));
      expect(answer).toMatchObject({ status: 413, body: expect.stringContaining(`${bodyBytesMax} bytes`) });
      expect(await threads()).toBe(before);
    });

    it("may be empty", async () => {
      expect((await answerTo(open(headersFor(Buffer.alloc(0))).end())).status).toBe(200);
    });

    it("changes nothing where its sender goes away in the middle", async () => {
      const before = await threads();
      const body = thread("never whole");
      const sent = open(headersFor(body));
      sent.on("error", () => undefined);
      sent.write(body.subarray(0, 10));
      await once(sent, "socket");
      sent.destroy();
      expect((await answerTo(open({}).end())).status).toBe(200);
      expect(await threads()).toBe(before + 1);
    });
  },
);

it("a body that a middleware unpacks on the way is measured as it is then", async () => {
  const unpacking = new Hono()
    .use(async (c, next) => {
      const body = c.req.raw.body?.pipeThrough(new DecompressionStream("gzip"));
      c.req.raw = new Request(c.req.raw, { body, duplex: "half" } as RequestInit);
      await next();
    })
    .route("/", t.app as unknown as Hono);
  const before = await threads();
  const unpacked = await listen({ app: unpacking, host: "127.0.0.1", port: 0 });
  const packed = gzipSync(thread("x".repeat(50 * bodyBytesMax)));
  expect(packed.length).toBeLessThan(bodyBytesMax);
  const answer = await fetch(`${unpacked.url}/threads`, { method: "POST", body: packed });
  expect({ status: answer.status, body: await answer.text() }).toMatchObject({
    status: 413,
    body: expect.stringContaining(`${bodyBytesMax} bytes`),
  });
  expect(await threads()).toBe(before);
  await unpacked.stop();
});

it("a body told by both is refused before it reaches us", async () => {
  const before = await threads();
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  socket.write(
    "POST /threads HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
  );
  socket.write("14\r\n{}                  \r\n0\r\n\r\n");
  expect(await text(socket)).toMatch(/^HTTP\/1.1 400/);
  expect(await threads()).toBe(before);
});
