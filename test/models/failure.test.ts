import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { classify } from "../../src/domain/classify.ts";
import { chatModel } from "../../src/models/chat-model.ts";
import { type StandIn, startStandIn } from "../../src/models/stand-in/server.ts";
import { extractJson } from "../../src/models/structured.ts";

let standIn: StandIn;
beforeAll(async () => {
  standIn = await startStandIn();
});
afterAll(() => standIn.stop());

const transient = (kind: string) => ({ name: "Transient", kind });
const fatal = (code: string) => ({ name: "Fatal", code });

const failing = (fault: string) =>
  chatModel({
    model: "stand-in",
    apiKey: standIn.apiKey,
    baseURL: standIn.url,
    headers: { "x-stand-in-fault": fault },
    timeoutMs: fault === "hang" ? 100 : 5_000,
  });

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(Error);
  return classify(error);
}

describe.each([
  ["500", transient("timeout")],
  ["529", transient("timeout")],
  ["429", transient("rate_limit")],
  ["429:7", { ...transient("rate_limit"), retryAfterMs: 7_000 }],
  ["401", fatal("invalid_key")],
  ["400", fatal("bad_request")],
  ["hang", transient("timeout")],
  ["cut", transient("network")],
])("a provider's %s", (fault, expected) => {
  it("is classified when the model is read through us", async () => {
    const asked = extractJson({
      model: failing(fault),
      system: "JSON",
      user: "hi",
      schema: z.object({}),
      limits: { quickTriesMax: 1 },
    });
    expect(await failureOf(asked)).toMatchObject(expected);
  });

  it.runIf(fault !== "429:7")("is classified when graph code calls the model itself", async () => {
    expect(await failureOf(failing(fault).invoke("hi"))).toMatchObject(expected);
  });
});

it("a refused connection is the network's", async () => {
  const model = chatModel({ model: "m", apiKey: "k", baseURL: "http://127.0.0.1:9/v1", timeoutMs: 500 });
  expect(await failureOf(model.invoke("hi"))).toMatchObject(transient("network"));
});
