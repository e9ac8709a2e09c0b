interface Stored {
  /** `lifecycle|namespace`. */
  event: string;
  data: string;
}

interface AgentTree {
  namespace: string[];
  status: string;
  graph_name: string;
  children?: AgentTree[];
}

/** A run and its subgraphs, each below the one that it runs in. */
export function agentTree({
  graphName,
  status,
  subgraphs,
}: {
  graphName: string;
  status: string;
  subgraphs: readonly Stored[];
}): AgentTree {
  const root: AgentTree = { namespace: [], status, graph_name: graphName };
  const nodes = new Map([["", root]]);
  const sorted = [...subgraphs].sort((a, b) => (a.event < b.event ? -1 : 1));
  for (const { event, data } of sorted) {
    const [, ...namespace] = event.split("|");
    const { event: state, graph_name } = JSON.parse(data) as { event: string; graph_name: string };
    const node: AgentTree = { namespace, status: state, graph_name };
    nodes.set(namespace.join("|"), node);
    // A parent sorts before its children, since its name is the beginning of theirs.
    const parent = nodes.get(namespace.slice(0, -1).join("|")) ?? root;
    parent.children = [...(parent.children ?? []), node];
  }
  return root;
}
