// What to do about a dead run, by the code of its error: a plain sentence for whoever looks at it at night.

const advice: Readonly<Record<string, string>> = {
  exhausted:
    "Something that may pass failed at every attempt: see that what the message names works again, then redrive the group.",
  crash_budget:
    "Its process died every time it ran this step: the error says how it died and what the process said last; mend the graph, or give it more memory, then redrive.",
  graph_version_mismatch:
    "The graph changed while the thread waited, and its question is not asked any more: bring the old graph back and answer again, or start a new run.",
  effect_needs_checkpointer:
    "An effect sits in a subgraph that keeps no checkpoints: compile it without checkpointer: false, then redrive.",
  effect_unknown:
    "Nobody knows whether a call to the outside took place: look there by the call's key, write down what you found, then redrive.",
  effect_question_swallowed:
    "Nobody knows whether a call to the outside took place, and the node caught the question about it: look there by the call's key, let the node pass on what effect() throws, then redrive.",
  effect_args_changed:
    "A repeated step wanted the same call with other arguments: make the node deterministic before its effect, then redrive from the start.",
  effect_args_unstorable:
    "The arguments or the result of an effect cannot be stored: the message has the place; return plain data of a smaller size, then redrive.",
  effect_drifted:
    "An earlier attempt made a call that may have taken place, and the repeated step asks for another one: look there by the call's key, make the node deterministic before its effect, then redrive.",
  effect_exhausted:
    "A call to the outside failed each time: see that the service works again, and by the call's key whether one of them took place, then redrive the group.",
  effect_compensated:
    "The call that this step wants was undone: what it did is not there any more; redrive from the start, and say whether to repeat.",
  effect_business_key_conflict:
    "Another call holds this business key with other arguments: see which of the two is right, mend keyOf or the input, then redrive.",
  invalid_effect:
    "An effect is declared wrongly: the message says how; mend the declaration, deploy, then redrive the group.",
  invalid_business_key:
    "keyOf of an effect gave no usable text for this input: mend it or the input, then redrive from the start.",
  effect_outside_run:
    "An effect was called outside a node of a run: call it in a node, and pass the node's config on, then redrive.",
  invalid_key:
    "The model's provider refused the API key: put a valid one with the needed permission into the settings, restart the workers, then redrive the group.",
  quota_exceeded:
    "The provider's quota is used up: raise the limit or pay the bill there, then redrive the group.",
  context_length:
    "The prompt is longer than the model takes: shorten the input or use a model with a larger window, then redrive from the start with edited input.",
  bad_request:
    "The provider refused the request itself, and would again: the message says why; mend the graph or the input, then redrive.",
  bad_answer:
    "The model's answer was not in the form that the graph needs: read it in the error, make the prompt or the schema clearer, then redrive.",
  recursion_limit:
    "The run took more steps than it may: see whether the graph loops; if it is only long, start a run with a higher recursion_limit.",
  unstorable_value:
    "A node returned a value that cannot be stored: the message has its path; return plain data there, then redrive.",
  unstorable_result:
    "A tool took place and returned what cannot be stored: return plain data from it, write down what it did, then redrive.",
  effect_result_unstorable:
    "A call took place and its result cannot be stored: write the result down in the ledger, make the tool return plain data, then redrive.",
  store_index:
    "The model of store.index gave a vector of another size than its dims says: mend langgraph.json, restart the workers, then redrive the group.",
  compensation_stuck:
    "An effect of an ended run could not be undone: answer the question in the escalations, that goes on with the rest.",
  process_exit: "Graph code called process.exit: throw an error instead, deploy, then redrive.",
  unhandled_rejection:
    "Graph code left a rejected promise behind: the stack says which; await it or catch it, deploy, then redrive.",
  uncaught_exception:
    "Graph code threw out of a timer or an event: the stack says where; catch it there, deploy, then redrive.",
  run_timeout:
    "The run took longer than RUN_SECONDS: see whether the graph loops; if it is only long, raise the limit, then redrive.",
  nothing_to_resume:
    "The thread has no checkpoint that an answer could go on from: start a new run with its input.",
  invalid_filing_key:
    "A record was filed under a key that is none of the ledger's: file it through effect(), then redrive.",
  record_too_large:
    "A record to be filed is larger than allowed: file less, or a reference to it, then redrive.",
  too_many_documents:
    "The input names more documents than one run takes: redrive from the start with fewer of them.",
  document_too_large:
    "A document is larger than the graph reads: split it, then redrive from the start with edited input.",
  document_not_found:
    "A document is not in the documents folder: put it there and redrive, or redrive from the start with the right name.",
  document_not_allowed:
    "The input names a document outside the documents folder: redrive from the start with a name inside of it.",
};

/** Codes that the program gives by itself; every other one is the name of an error that graph code threw. */
export const isKnownCode = (code: string): boolean => Object.hasOwn(advice, code);

/** What to do about a dead run with this code. Never empty: an error of graph code is its author's. */
export function adviceFor(code: string): string {
  const known = isKnownCode(code) ? advice[code] : undefined;
  return (
    known ?? "The graph's own code threw this: the stack says where; mend it, deploy, then redrive the group."
  );
}
