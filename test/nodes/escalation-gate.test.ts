import { Annotation, Command, END, MemorySaver, START, StateGraph } from "@langchain/langgraph";
import { describe, expect, it } from "vitest";
import type { EscalationDetail, HumanInterrupt } from "../../src/domain/escalation.ts";
import type { DomainValidator, Finding } from "../../src/domain/finding.ts";
import { domainValidator } from "../../src/nodes/domain-validator.ts";
import { escalationGate, type GatePolicy, gateState, returnsMax } from "../../src/nodes/escalation-gate.ts";
import { triggered } from "../../src/nodes/triggers.ts";
import { latest, validationState } from "../../src/nodes/validation-state.ts";

const State = Annotation.Root({
  ...validationState,
  ...gateState,
  record: latest<Record<string, unknown>>({}),
  confidence: Annotation<number | undefined>,
  stakes: Annotation<string | undefined>,
});
type State = typeof State.State;

const text = "The price is $5. ![x](https://evil.example/a.png)";
const tooHigh: DomainValidator<{ price: { amount: number } }> = {
  name: "price",
  version: "1",
  validate: ({ price }): Finding[] =>
    typeof price?.amount === "number" && price.amount <= 5
      ? []
      : [
          {
            path: "price.amount",
            code: "too_high",
            severity: "error",
            message: "The price is above $5 <b>.",
            evidence: { source_id: "doc", start: 0, end: text.length },
          },
        ],
};
const review = domainValidator<State>(tooHigh, {
  output: ({ record }) => record,
  update: (record) => ({ record }),
  context: () => ({ sources: [{ source_id: "doc", text }], businessDate: "2026-01-01", timeZone: "UTC" }),
});

function setup(policy: Partial<GatePolicy<State>> = {}) {
  const graph = new StateGraph(State)
    .addNode("validate", review.validate)
    .addNode("gate", escalationGate<State>({ action: "file_record", review, ...policy }))
    .addEdge(START, "validate")
    .addEdge("validate", "gate")
    .addEdge("gate", END)
    .compile({ checkpointer: new MemorySaver() });
  const config = { configurable: { thread_id: "t" } };
  type Asked = [HumanInterrupt & { holdfast: EscalationDetail }];
  const question = async (): Promise<Asked[0] | undefined> => {
    const asked = (await graph.getState(config)).tasks.flatMap((task) => task.interrupts);
    return (asked.at(-1)?.value as Asked | undefined)?.[0];
  };
  return {
    question,
    run: async (input: Partial<State>) => ({
      ...(await graph.invoke(input, config)),
      question: await question(),
    }),
    answer: async (resume: unknown) => ({
      ...(await graph.invoke(new Command({ resume }), config)),
      question: await question(),
    }),
  };
}

const sound = { record: { price: { amount: 5 } } };
const faulty = { record: { price: { amount: 9 }, note: "n" } };

describe("the gate asks", () => {
  it.each<[object, string[]]>([
    [{}, []],
    [{ confidence: 1, stakes: "low", domain: "cooking", pattern: "known", validation_failed: false }, []],
    [{ confidence: 0.7 }, []],
    [{ confidence: 0.69 }, ["low_confidence"]],
    [{ confidence: 0.5 }, ["low_confidence"]],
    [{ confidence: 0.49 }, ["low_confidence", "low_confidence_alert"]],
    [{ confidence: 0 }, ["low_confidence", "low_confidence_alert"]],
    [{ confidence: null }, ["low_confidence"]],
    [{ confidence: Number.NaN }, ["low_confidence"]],
    [{ confidence: 7 }, ["low_confidence"]],
    [{ stakes: "high" }, ["high_stakes"]],
    [{ domain: "legal" }, ["sensitive_domain"]],
    [{ domain: "financial" }, ["sensitive_domain"]],
    [{ domain: "medical" }, ["sensitive_domain"]],
    [{ pattern: "novel" }, ["novel_pattern"]],
    [{ validation_failed: true, validation_error: "no" }, ["validation_failed"]],
    [
      { validation_failed: true, confidence: 0.1, stakes: "high" },
      ["validation_failed", "low_confidence", "low_confidence_alert", "high_stakes"],
    ],
  ])("about %j for %j", (signals, codes) => {
    expect(triggered(signals).map(({ code }) => code)).toEqual(codes);
  });

  it("nobody about what triggers nothing", async () => {
    const end = await setup().run(sound);
    expect(end).toMatchObject({
      status: "passed",
      decision: null,
      escalation_reasons: [],
      question: undefined,
    });
  });

  it("when a policy of the author says so, even if nothing else does", async () => {
    const policy = () => [{ code: "policy", message: "Fridays" }];
    const { question } = await setup({ policy }).run(sound);
    expect(question?.holdfast.reasons).toEqual([{ code: "policy", message: "Fridays" }]);
  });

  it("about a failed validation also when the author's signals leave that out", async () => {
    const { question } = await setup({ signals: () => ({}) }).run(faulty);
    expect(question?.holdfast.reasons.map(({ code }) => code)).toEqual(["validation_failed"]);
  });
});

describe("the question", () => {
  it("is what Agent Inbox renders, with our detail beside it", async () => {
    const { question } = await setup({
      slaSeconds: 60,
      expiresInSeconds: 90,
      onExpiry: "reject",
      assignee: "ann",
    }).run(faulty);
    expect(question).toEqual({
      action_request: { action: "file_record", args: faulty.record },
      config: { allow_accept: true, allow_edit: true, allow_respond: false, allow_ignore: true },
      description: expect.stringContaining("### Why you are asked"),
      holdfast: {
        reasons: [{ code: "validation_failed", message: expect.stringContaining("above $5") }],
        priority: 1,
        channel: "#agent-escalations",
        assignee: "ann",
        sla_seconds: 60,
        expires_in_seconds: 90,
        on_expiry: "reject",
      },
    });
  });

  it("shows each finding with its evidence, and nothing of it as live markdown", async () => {
    const { question } = await setup().run(faulty);
    expect(question?.description).toContain(
      "**blocks** `price.amount`, too\\_high: The price is above $5 \\<b\\>.",
    );
    expect(question?.description).toContain("> The price is $5.");
    expect(question?.description).toContain(`(doc, characters 0 to ${text.length})`);
    expect(question?.description).not.toMatch(/!\[|https:\/\/|<b>/);
  });

  it("has a higher priority when the stakes are high", async () => {
    expect((await setup().run({ ...sound, stakes: "high" })).question?.holdfast.priority).toBe(2);
  });
});

describe("an answer", () => {
  it.each([[[{ type: "accept", args: null }]], [{ type: "accept", args: null }]])(
    "to accept approves what was shown and names what was overruled, as a list or alone",
    async (resume) => {
      const gate = setup();
      await gate.run(faulty);
      expect(await gate.answer(resume)).toMatchObject({
        status: "approved",
        record: faulty.record,
        validation_failed: true,
        decision: { type: "accept", edited: [], overruled: ["price.amount too_high"] },
        question: undefined,
      });
    },
  );

  it.each([
    ["Agent Inbox's form", { action: "file_record", args: { price: { amount: 4 }, note: "n" } }],
    ["its text fields", { action: "file_record", args: { price: '{"amount": 4}', note: "n" } }],
    ["only the field that changed", { price: { amount: 4 } }],
  ])("to edit puts the edited fields in place: %s", async (_, args) => {
    const gate = setup();
    await gate.run(faulty);
    expect(await gate.answer([{ type: "edit", args }])).toMatchObject({
      status: "approved",
      record: { price: { amount: 4 }, note: "n" },
      validation_failed: false,
      validation_error: null,
      findings: [],
      decision: { type: "edit", edited: ["price"], overruled: [] },
    });
  });

  it("to ignore rejects, with the human's words", async () => {
    const gate = setup();
    await gate.run(faulty);
    expect(await gate.answer([{ type: "ignore", args: "not ours" }])).toMatchObject({
      status: "rejected",
      decision: { type: "ignore", comment: "not ours" },
      record: faulty.record,
    });
  });

  it("in free words is kept where it was offered", async () => {
    const gate = setup({ allow: { respond: true } });
    await gate.run(faulty);
    expect(await gate.answer([{ type: "response", args: "ask Bob" }])).toMatchObject({
      status: "responded",
      decision: { type: "response", comment: "ask Bob" },
    });
  });

  it("whose edit still fails comes back with its own findings, and may then be accepted", async () => {
    const gate = setup();
    await gate.run(faulty);
    const { question } = await gate.answer([{ type: "edit", args: { price: { amount: 8 } } }]);
    expect(question?.action_request.args).toEqual({ price: { amount: 8 }, note: "n" });
    expect(question?.description).toContain("Your edit does not pass yet.");
    expect(await gate.answer([{ type: "accept", args: null }])).toMatchObject({
      status: "approved",
      record: { price: { amount: 8 } },
      decision: { edited: ["price"], overruled: ["price.amount too_high"] },
    });
  });

  it.each([
    ["gibberish", "yes"],
    ["what is not offered", [{ type: "response", args: "hm" }]],
  ])("of %s is asked for again, three times at most, and then it is no", async (_, resume) => {
    const gate = setup();
    await gate.run(faulty);
    for (let returned = 0; returned < returnsMax; returned += 1)
      expect((await gate.answer(resume)).question).toBeDefined();
    const end = await gate.answer(resume);
    expect(end.question).toBeUndefined();
    expect(end).toMatchObject({
      status: "rejected",
      decision: { comment: "no usable answer after 4 questions" },
    });
  });
});
