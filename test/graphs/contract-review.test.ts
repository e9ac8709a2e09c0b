import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, MemorySaver } from "@langchain/langgraph";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { graph as compiled } from "../../graphs/contract-review/graph.ts";
import { makePurchaseAgreements } from "../../scripts/make-purchase-agreements.ts";
import { classify } from "../../src/domain/classify.ts";
import { blocking } from "../../src/domain/finding.ts";
import { type StandIn, standInModel, startStandIn } from "../../src/models/stand-in/server.ts";
import { fakeEffects } from "../support/fake-effects.ts";

let standIn: StandIn;
let folder: string;
beforeAll(async () => {
  standIn = await startStandIn();
  folder = await mkdtemp(join(tmpdir(), "holdfast-filed-"));
  Object.assign(process.env, {
    OPENAI_BASE_URL: standIn.url,
    OPENAI_API_KEY: standIn.apiKey,
    MODEL: standInModel,
    FILING_DIR: folder,
  });
});
afterAll(async () => {
  await standIn.stop();
  await rm(folder, { recursive: true });
});

const samples = makePurchaseAgreements(1);
type Sample = (typeof samples)[number];

function inputOf({ file, text, label }: Sample) {
  return {
    document: { source_id: file, text },
    business_date: label.business_date,
    time_zone: label.time_zone,
    ...(label.source_record ? { source_record: { ...label.source_record } } : {}),
  };
}

function setup() {
  const effects = fakeEffects();
  const graph = Object.assign(Object.create(Object.getPrototypeOf(compiled)), compiled, {
    checkpointer: new MemorySaver(),
  }) as typeof compiled;
  const config = { configurable: { thread_id: "t", ...effects.configurable } };
  return {
    effects,
    start: (input: object) => graph.invoke(input as never, config),
    answer: (resume: unknown) => graph.invoke(new Command({ resume }), config),
    question: async () =>
      (await graph.getState(config)).tasks.flatMap((task) => task.interrupts).at(-1)?.value?.[0] as
        | { action_request: { args: Record<string, { value: unknown }> }; description: string }
        | undefined,
  };
}

const filedRecord = async (state: { filed: { file: string } | null }) =>
  JSON.parse(await readFile(state.filed?.file ?? "", "utf8")) as {
    record: { record: Record<string, unknown> };
  };
const placed = (findings: readonly { path: string; code: string }[]) =>
  findings.map(({ path, code }) => `${path} ${code}`).sort();
const blocks = ({ label }: Sample) =>
  label.expected_findings.some(({ code }) => code !== "optional_field_missing");
const named = (some: Sample[]) => some.map((sample) => [sample.file, sample] as const);

describe("a sound agreement", () => {
  it.each(named(samples.filter((sample) => !blocks(sample))))(
    "%s is filed, and nobody is asked",
    async (_, sample) => {
      const review = setup();
      const end = await review.start(inputOf(sample));
      expect(await review.question()).toBeUndefined();
      expect(end).toMatchObject({
        status: "filed",
        decision: null,
        validation_failed: false,
        escalation_reasons: [],
      });
      expect(placed(end.findings)).toEqual(placed(sample.label.expected_findings));
      expect((await filedRecord(end)).record).toMatchObject({ source_id: sample.file, record: end.record });
      expect(review.effects.calls).toMatchObject([
        { declaration: { name: "file_record", class: "idempotent" } },
      ]);
    },
  );

  it("is shown to a human all the same when the stakes are high", async () => {
    const review = setup();
    const [sample] = samples;
    if (sample === undefined) throw new Error("there are samples");
    await review.start({ ...inputOf(sample), stakes: "high" });
    expect((await review.question())?.description).toContain("The stakes are high.");
  });
});

describe("a faulty agreement", () => {
  it.each(named(samples.filter(blocks)))("%s is escalated with what is wrong with it", async (_, sample) => {
    const review = setup();
    const parked = await review.start(inputOf(sample));
    expect(placed(parked.findings)).toEqual(placed(sample.label.expected_findings));
    expect(parked).toMatchObject({ validation_failed: true, filed: null });
    expect(parked.repairs).toBeLessThanOrEqual(2);
    const question = await review.question();
    for (const { message } of blocking(parked.findings)) expect(parked.validation_error).toContain(message);
    expect(question?.action_request.args).toEqual(parked.record);
    expect(review.effects.calls).toEqual([]);
  });

  const faulty = samples.find(({ file }) => file.startsWith("20-missing-seller"));
  const input = () => {
    if (faulty === undefined) throw new Error("the sample is there");
    return inputOf(faulty);
  };
  const seller = () => {
    const quote = /Escrow|Buyer: .*|.*Buyer.*/.exec(input().document.text)?.[0] ?? "";
    return { value: quote.trim(), quote: quote.trim(), source_id: input().document.source_id };
  };

  it("files the record as the human edited it, once", async () => {
    const review = setup();
    await review.start(input());
    const end = await review.answer([
      { type: "edit", args: { action: "file_record", args: { seller_name: seller() } } },
    ]);
    expect(end).toMatchObject({
      status: "filed",
      validation_failed: false,
      decision: { type: "edit", edited: ["seller_name"], overruled: [] },
    });
    expect((await filedRecord(end)).record.record).toMatchObject({ seller_name: seller() });
    expect(review.effects.calls).toHaveLength(1);
  });

  it("asks again when the edit quotes what the document does not say", async () => {
    const review = setup();
    await review.start(input());
    const invented = { ...seller(), value: "Nobody", quote: "Seller: Nobody" };
    await review.answer([{ type: "edit", args: { seller_name: invented } }]);
    expect((await review.question())?.description).toContain("Your edit does not pass yet.");
    expect(review.effects.calls).toEqual([]);
  });

  it("files nothing when the human says no", async () => {
    const review = setup();
    await review.start(input());
    const before = (await readdir(folder)).length;
    expect(await review.answer([{ type: "ignore", args: null }])).toMatchObject({
      status: "rejected",
      filed: null,
    });
    expect((await readdir(folder)).length).toBe(before);
  });
});

describe("a model that fails", () => {
  const plan = async (next: string[]) =>
    (await fetch(standIn.controlUrl, { method: "POST", body: JSON.stringify({ next }) })).text();
  const [sample] = samples;
  const failure = async (next: string[]) => {
    await plan(next);
    return setup()
      .start(inputOf(sample as Sample))
      .then(
        () => undefined,
        (error: unknown) => classify(error),
      );
  };

  it.each([
    ["500", { name: "Transient", kind: "timeout" }],
    ["429:7", { name: "Transient", kind: "rate_limit", retryAfterMs: 7_000 }],
    ["401", { name: "Fatal", code: "invalid_key" }],
    ["400", { name: "Fatal", code: "bad_request" }],
  ])("with %s ends the attempt as its kind says", async (fault, expected) => {
    expect(await failure([fault])).toMatchObject(expected);
  });

  it("with an unreadable answer is asked again by the repair loop", async () => {
    await plan(["malformed"]);
    const end = await setup().start(inputOf(sample as Sample));
    expect(end).toMatchObject({ status: "filed", model_error: null });
    expect(end.repairs).toBeGreaterThan(0);
  });

  it("with unreadable answers only is a human's matter", async () => {
    await plan(["malformed", "malformed", "malformed"]);
    const review = setup();
    const parked = await review.start(inputOf(sample as Sample));
    await plan([]);
    expect(parked).toMatchObject({ validation_failed: true, repairs: 1, repair_stalled: true });
    expect((await review.question())?.description).toContain("could not be read");
  });
});

it("refuses an input that is none", async () => {
  const error = await setup()
    .start({ document: { source_id: 'a"b', text: "" } })
    .then(
      () => undefined,
      (thrown: unknown) => classify(thrown),
    );
  expect(error).toMatchObject({ name: "Fatal", code: "invalid_input" });
});
