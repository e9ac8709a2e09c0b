import {
  type AIMessage,
  type BaseMessage,
  isAIMessage,
  isBaseMessage,
  isToolMessage,
} from "@langchain/core/messages";
import type { ToolCall } from "@langchain/core/messages/tool";
import {
  Annotation,
  Command,
  END,
  isCommand,
  type LangGraphRunnableConfig,
  Send,
  START,
  StateGraph,
} from "@langchain/langgraph";
import { ToolNode } from "@langchain/langgraph/prebuilt";
import { InvalidInput } from "../domain/errors.ts";
import { acceptsArgs, callOnce, taskIdOf } from "./tool-call.ts";
import { effectOf } from "./tool-declaration.ts";
import { errorMessage, isForTheModel } from "./tool-error.ts";
import { type AnyTool, readStored, stored, type ToolOutput, withId } from "./tool-result.ts";

export interface ToolNodeOptions {
  name?: string;
  tags?: string[];
  /** The state's key with the messages; `messages` where nothing is said. */
  messagesKey?: string;
  /** Calls of one message that run at once; all where nothing is said. */
  parallelMax?: number;
  /** Whether a call that is known not to have taken place becomes a message for the model; true by default. */
  handleToolErrors?: boolean;
}

/**
 * A node that makes each tool call of the last AI message once: every call is a task of its own, with a row of its
 * own in the ledger. Use it where LangGraph's `ToolNode` stands, also as the `tools` of `createReactAgent`.
 */
export function toolNode(tools: AnyTool[], options: ToolNodeOptions = {}): ToolNode {
  return new LedgerToolNode(tools, options);
}

/** Where the node's own input is while its calls run, so that it is not stored once more for each of them. */
const inputKey = "__holdfast_tool_input";

const Calls = Annotation.Root({
  calls: Annotation<ToolCall[]>(),
  results: Annotation<Record<number, unknown>>({
    reducer: (before, more) => ({ ...before, ...more }),
    default: () => ({}),
  }),
});
interface OneCall {
  call: ToolCall;
  index: number;
}

class LedgerToolNode extends ToolNode {
  readonly #calls: ReturnType<typeof callsGraph>;
  readonly #messagesKey: string;
  readonly #parallelMax: number | undefined;
  /** LangGraph finds a node's subgraph in its steps, and with it the questions asked there. */
  readonly steps: unknown[];

  constructor(tools: AnyTool[], { messagesKey = "messages", parallelMax, ...stock }: ToolNodeOptions) {
    super(tools, stock);
    if (parallelMax !== undefined && !(Number.isInteger(parallelMax) && parallelMax > 0))
      throw new InvalidInput("parallelMax must be a whole number above zero", { field: "parallelMax" });
    this.#messagesKey = messagesKey;
    this.#parallelMax = parallelMax;
    this.#calls = callsGraph((call, config) => this.runTool(call, config, config.configurable?.[inputKey]));
    this.steps = [this.#calls];
  }

  protected override async runTool(
    call: ToolCall,
    config: LangGraphRunnableConfig,
    state: unknown,
  ): Promise<ToolOutput> {
    const tool = this.tools.find(({ name }) => name === call.name);
    if (tool === undefined || !(await acceptsArgs(tool, call.args)))
      return this.#refusal(await super.runTool(call, config, state), call, config);
    const { context, store, writer } = config;
    const runtime = { ...config, config, state, toolCallId: call.id ?? "", context };
    const invoke = (watched: AnyTool): Promise<unknown> =>
      watched.invoke(
        { ...call, type: "tool_call" } as never,
        {
          ...runtime,
          store: store ?? null,
          writer: writer ?? null,
        } as never,
      );
    try {
      return await callOnce({ tool, call, config, invoke });
    } catch (error) {
      if (!this.handleToolErrors || !isForTheModel(error, effectOf(tool).class)) throw error;
      return withId(errorMessage(error, call), taskIdOf(config), call);
    }
  }

  #refusal(output: ToolOutput, call: ToolCall, config: LangGraphRunnableConfig): ToolOutput {
    return isCommand(output) ? output : withId(output, taskIdOf(config), call);
  }

  protected override async run(input: unknown, config: LangGraphRunnableConfig): Promise<unknown> {
    if (isSend(input)) {
      const { lg_tool_call: call, ...state } = input;
      return this.#together([await this.runTool(call, config, state)], input);
    }
    const calls = openCalls(messagesOf(input, this.#messagesKey));
    const [only] = calls;
    if (only === undefined) return this.#together([], input);
    // A single call has this task for its own.
    if (calls.length === 1) return this.#together([await this.runTool(only, config, input)], input);
    sameNamespaceAgain(config);
    const { results } = await this.#calls.invoke(
      { calls },
      {
        ...config,
        ...(this.#parallelMax === undefined ? {} : { maxConcurrency: this.#parallelMax }),
        configurable: { ...config.configurable, [inputKey]: input },
      },
    );
    return this.#together(
      calls.map((_, index) => readStored(results[index]) as ToolOutput),
      input,
    );
  }

  /** As the stock node returns them: commands apart, those that send to the parent graph in one. */
  #together(outputs: ToolOutput[], input: unknown): unknown {
    const update = (messages: ToolOutput[]): unknown =>
      Array.isArray(input) ? messages : { [this.#messagesKey]: messages };
    if (!outputs.some((output) => isCommand(output))) return update(outputs);
    const sends: Send[] = [];
    const others: unknown[] = [];
    for (const output of outputs) {
      if (!isCommand(output)) others.push(update([output]));
      else if (sendsToParent(output)) sends.push(...output.goto);
      else others.push(output);
    }
    return sends.length === 0 ? others : [...others, new Command({ graph: Command.PARENT, goto: sends })];
  }
}

/** What LangGraph keeps for a task, and so for every execution of it that a retryPolicy asks for. */
interface Scratchpad {
  subgraphCounter: number;
}
interface Repeated {
  attempt: number;
  /** The number under which each of the task's tool nodes ran its calls at first. */
  numbers: number[];
  next: number;
}
const repeatedOf = new WeakMap<Scratchpad, Repeated>();

/**
 * LangGraph counts a task's subgraphs on when it repeats the node in place: the calls would be other tasks, and be
 * made again. They get the number that they had at first.
 */
function sameNamespaceAgain(config: LangGraphRunnableConfig): void {
  const scratchpad = config.configurable?.__pregel_scratchpad as Scratchpad | undefined;
  if (scratchpad === undefined) return;
  const attempt = config.executionInfo?.nodeAttempt ?? 1;
  const known = repeatedOf.get(scratchpad) ?? { attempt, numbers: [], next: 0 };
  if (known.attempt !== attempt) Object.assign(known, { attempt, next: 0 });
  const number = known.numbers[known.next];
  if (number === undefined) known.numbers[known.next] = scratchpad.subgraphCounter;
  else scratchpad.subgraphCounter = number;
  known.next += 1;
  repeatedOf.set(scratchpad, known);
}

/** Runs each call as a task of its own, so that a call that waits for an answer repeats no other. */
function callsGraph(run: (call: ToolCall, config: LangGraphRunnableConfig) => Promise<ToolOutput>) {
  return new StateGraph(Calls)
    .addNode("call", async (one: unknown, config: LangGraphRunnableConfig) => {
      const { call, index } = one as OneCall;
      return { results: { [index]: stored(await run(call, config)) } };
    })
    .addConditionalEdges(
      START,
      ({ calls }) => calls.map((call, index) => new Send("call", { call, index } satisfies OneCall)),
      ["call"],
    )
    .addEdge("call", END)
    .compile();
}

/**
 * The calls of the last AI message that no message behind it answers. Only those behind it count, and each for one
 * call: some models begin again at `call_0` in every message.
 */
function openCalls(messages: BaseMessage[]): ToolCall[] {
  const at = messages.findLastIndex((message) => isAIMessage(message));
  if (at === -1) throw new InvalidInput("a tool node needs an AI message", { field: "messages" });
  const answers = new Map<string, number>();
  for (const message of messages.slice(at + 1))
    if (isToolMessage(message))
      answers.set(message.tool_call_id, (answers.get(message.tool_call_id) ?? 0) + 1);
  return ((messages[at] as AIMessage).tool_calls ?? []).filter(({ id }) => {
    const left = id === undefined ? 0 : (answers.get(id) ?? 0);
    if (id !== undefined && left > 0) answers.set(id, left - 1);
    return left === 0;
  });
}

function messagesOf(input: unknown, key: string): BaseMessage[] {
  const messages: unknown = Array.isArray(input) ? input : (input as Record<string, unknown> | null)?.[key];
  if (Array.isArray(messages) && messages.every((message) => isBaseMessage(message))) return messages;
  throw new InvalidInput(`a tool node needs a list of messages in "${key}"`, { field: key });
}

const isSend = (input: unknown): input is { lg_tool_call: ToolCall } =>
  typeof input === "object" && input !== null && "lg_tool_call" in input;

const sendsToParent = (command: Command): command is Command & { goto: Send[] } =>
  command.graph === Command.PARENT &&
  Array.isArray(command.goto) &&
  command.goto.every((target) => target instanceof Send);
