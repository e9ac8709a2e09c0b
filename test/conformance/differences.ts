import type { Difference } from "./compare.ts";

/** A place where the two servers answer differently on purpose. docs/compatibility.md shows this list. */
export interface Known {
  id: string;
  /** What the dev server does, then what ours does. */
  what: string;
  why: string;
  /** Matched against `script: step /path`. */
  at: RegExp[];
}

export const known: Known[] = [
  {
    id: "checkpoint-metadata",
    what: "metadata of checkpoints, tasks and events: everything configurable, `created_by`, `ls_integration`, the version and plan of the dev server; ours: run, graph, assistant, thread, attempt, `graph_version`",
    why: "it is stored with every checkpoint; what a run was configured with stands in the run",
    at: [
      /\/metadata\/(user-agent|ls_integration|created_by|langgraph_\w+|checkpoint_\w+|thread_id|graph_version|graph_id|variant|colour)$/,
      /messages\/\d+\/\d+\/langgraph_(version|plan|host)$/,
    ],
  },
  {
    id: "message-tags",
    what: "`messages/metadata`: without tags; ours: with the tags of the model",
    why: "what LangGraph tells in its mode `messages`",
    at: [/messages\/metadata\/.*\/tags$/],
  },
  {
    id: "model-streams",
    what: "a model always streams, so its message keeps `tool_call_chunks`; ours: only when tokens or events are asked for",
    why: "pieces that nobody reads are not made",
    at: [/tool_call_chunks$/],
  },
  {
    id: "events-name",
    what: "the graph's own events are named `LangGraph`; ours: after the graph",
    why: "the name of its trace",
    at: [/events: \/|\/events\/events\/\d+\/name$/],
  },
  {
    id: "events-resume",
    what: "the first event of a resumed run shows the command; ours: null",
    why: "an answer is stored before the graph runs, which then goes on from null",
    at: [/resumed \/events\/events\/\d+\/data\/input$/],
  },
  {
    id: "checkpoint-envelopes",
    what: "with subgraphs, short `checkpoints` events come unasked; ours: only when asked for, in full",
    why: "a client gets the modes it asked for",
    at: [
      /nested (messages|values|messages-tuple|updates|custom|tools), (subgraphs|resumed) \/(order|events\/checkpoints)/,
    ],
  },
  {
    id: "checkpoint-order",
    what: "`checkpoints` and `debug` of a parent come before those of its subgraph; ours: once the step they tell of is stored",
    why: "nobody sees a checkpoint that a crash could take back",
    at: [/nested (checkpoints|debug), (subgraphs|resumed) \/order$/],
  },
  {
    id: "thread-fields",
    what: "a thread without a run has no `values` and `interrupts`, and none has `state_updated_at`, `error` or, when asked for, `ttl`; ours: all have them",
    why: "as the platform",
    at: [
      /\/(state_updated_at|ttl)$/,
      /thread after failure \/error$/,
      / \/(\d+\/|body\/\d+\/)?(values|interrupts)$/,
      /copy \/config\/configurable$/,
      /state of an empty thread \/metadata$/,
    ],
  },
  {
    id: "state-interrupts",
    what: "a state lists its questions with its tasks, also those that are answered; ours: the open ones, also in `interrupts`",
    why: "as the platform; what is answered is no question",
    at: [/\/state\/interrupts$/, / \/(body\/)?\d+\/interrupts$/, /with one left \/tasks\/0\/interrupts\/0$/],
  },
  {
    id: "wait-at-a-question",
    what: "`wait` on a run that stops gives `__interrupt__` alone, empty at a breakpoint, and leaves out a question that stays open; ours: the values, and every open question",
    why: "a caller needs both",
    at: [
      /questions: .*\/(seen|__interrupt__)$/,
      /thread with one left \/values\/seen/,
      /thread before \/interrupts/,
    ],
  },
  {
    id: "resume-without-a-question",
    what: "a resume that no question waits for starts a run; ours: 409",
    why: "an answer must not reach another question",
    at: [/answered again \//],
  },
  {
    id: "thread-config",
    what: "a thread keeps tags, headers and the assistant's `configurable` of its runs; ours: only what callers made configurable",
    why: "a header or a tag is about one run, and a change of the assistant reaches its threads",
    at: [/ \/config\/(tags|configurable\/(user-agent|variant|colour))$/],
  },
  {
    id: "run-kwargs",
    what: "`kwargs` of a run repeat its ids and metadata and tell `temporary`, `subgraphs`, `resumable`; ours: what was asked for, and `context`",
    why: "the ids stand beside it",
    at: [
      /\/kwargs\/(temporary|subgraphs|resumable|config\/metadata)$/,
      /\/kwargs\/config\/configurable\/(run|thread|graph|assistant)_id$/,
    ],
  },
  {
    id: "default-strategy",
    what: "`multitask_strategy` is `reject` when left out; ours: `enqueue`",
    why: "as the platform: a second message should not be an error",
    at: [/\/multitask_strategy$/, /runs: default strategy \//],
  },
  {
    id: "runs-newest-first",
    what: "runs of a thread are listed oldest first; ours: newest first",
    why: "as the platform",
    at: [/runs: list( a page)? \//],
  },
  {
    id: "run-metadata",
    what: "metadata of a run: the `graph_id` and `assistant_id` of the thread's first run, none without a thread; ours: the run's own",
    why: "a thread may run several graphs",
    at: [/runs: .*\/metadata\/assistant_id$/],
  },
  {
    id: "wait-error",
    what: "a failed `wait` or `join` puts the error's name and message as JSON into the message; ours: into `error` and `message`",
    why: "clients read these two",
    at: [/\/__error__\/(error|message)$/],
  },
  {
    id: "failed-values",
    what: "`values` of a thread after a failed run: with its last steps; ours: of the last run that ended well, and the rest in its state",
    why: "a failed run may be repeated from there",
    at: [/thread after failure \/values\//, /thread after failure \/interrupts\//],
  },
  {
    id: "invalid-is-422",
    what: "a body that does not validate: 400, an empty one is malformed; ours: 422, with the same JSON and the field in its text, an empty one is `{}`",
    why: "the platform's status",
    at: [
      /(put nothing|search wrong|create without a graph|a wrong body|not json) \//,
      /update state as a wrong node \//,
    ],
  },
  {
    id: "not-found",
    what: "a run on a thread that is not there is 422, joining no run is an error with 200; ours: 404; and some texts differ",
    why: "the thread is not busy, it is not there",
    at: [
      /(no such thread|no such thread, wait|join none|no such assistant|unknown|update none|without a graph) \//,
    ],
  },
  {
    id: "content-type-of-wait",
    what: "`wait` answers as text/plain; ours: application/json",
    why: "it is JSON",
    at: [/\/headers\/content-type$/],
  },
  {
    id: "return-minimal",
    what: "`Prefer: return=minimal` is ignored; ours: 204",
    why: "as the platform",
    at: [/update, minimal /],
  },
  {
    id: "parked-status",
    what: "a thread whose state was written up to before a node reads `idle`; ours: `interrupted`",
    why: "it waits to go on",
    at: [/threads: (create with supersteps|search.*) \/.*status$/, /threads: search by status \//],
  },
  {
    id: "search-by-values",
    what: "threads without values match every search by values; ours: none",
    why: "they do not have the value",
    at: [/threads: search by values \//],
  },
  {
    id: "pagination",
    what: "no `X-Pagination-Next` while there is more; ours: the next offset",
    why: "clients page by it",
    at: [/x-pagination-next$/, /search a page \/next$/],
  },
  {
    id: "history-arguments",
    what: "`before` as a config, a `checkpoint` as the server itself gives it, and `subgraphs` at a checkpoint are 400; ours: taken",
    why: "the SDK sends them so",
    at: [/history (before|of a checkpoint) /, /state at a checkpoint, with subgraphs \//],
  },
  {
    id: "checkpoint-map",
    what: "a state update answers without `checkpoint_map`; ours: with it",
    why: "as every other checkpoint",
    at: [/update state.* \/checkpoint\/checkpoint_map$/],
  },
  {
    id: "set-latest",
    what: "`setLatest` brings back config, metadata and name; ours: the whole version",
    why: "a version is what was in use",
    at: [
      /assistants: (set latest|set latest again|get after set latest|search by name|search select|a run) \//,
    ],
  },
  {
    id: "assistant-order",
    what: "assistants are not sorted as asked; ours: they are",
    why: "as the SDK's types say",
    at: [/assistants: search( in order| the system's)? \/\d+\//],
  },
  {
    id: "subgraph-config",
    what: "a subgraph without a config schema has no `config`; ours: null",
    why: "as for the graph itself",
    at: [/assistants: subgraphs.* \/inner\/config$/],
  },
  {
    id: "only-the-platform",
    what: "`threads.prune`, `threads.patchState`, `threads.joinStream`, `runs.cancelMany` are 404; ours: as the platform",
    why: "the SDK has them",
    at: [/threads: (patch state|thread stream|prune|history after prune) /, /runs: cancel many /],
  },
  {
    id: "crons",
    what: "crons are 400, 404 or 500; ours: they are there",
    why: "the SDK has them",
    at: [/memory: (cron|number of crons)/],
  },
  {
    id: "info",
    what: "`/info` tells of the dev server; ours: of us",
    why: "it is another program",
    at: [/memory: info \//],
  },
];

/** The first that explains a difference. */
export function explain({ step, path }: Difference): Known | undefined {
  return known.find(({ at }) => at.some((place) => place.test(`${step} ${path}`)));
}
