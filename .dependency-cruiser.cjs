// The rooms of docs/architecture.md, as import rules: a room may import only the rooms named behind it.
const rooms = {
  domain: [],
  observe: ["domain"],
  db: ["domain", "observe"],
  queue: ["domain", "observe", "db"],
  checkpoint: ["domain", "observe", "db"],
  effects: ["domain", "observe", "db"],
  webhooks: ["domain", "observe", "db"],
  models: ["domain", "observe", "db", "queue", "checkpoint", "effects"],
  nodes: ["domain", "observe", "db", "queue", "checkpoint", "effects"],
  engine: ["domain", "observe", "db", "queue", "checkpoint", "effects", "models", "nodes"],
  worker: ["domain", "observe", "db", "queue", "checkpoint", "effects", "models", "nodes", "engine"],
  http: ["domain", "observe", "db", "queue", "checkpoint", "effects", "models", "nodes", "engine"],
};
const roomRules = Object.entries(rooms).map(([room, allowed]) => ({
  name: `${room}-imports-only-its-neighbours`,
  severity: "error",
  from: { path: `^src/${room}/` },
  to: { path: "^src/", pathNot: [`^src/${room}/`, ...allowed.map((other) => `^src/${other}/`)] },
}));

module.exports = {
  forbidden: [
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
    ...roomRules,
    {
      name: "graphs-and-validators-import-only-holdfast",
      severity: "error",
      from: { path: "^(graphs|validators)/" },
      to: { path: "^src/", pathNot: "^src/index.ts$" },
    },
    {
      name: "validators-know-no-graph",
      severity: "error",
      from: { path: "^validators/" },
      to: { path: "^graphs/" },
    },
    {
      name: "only-http-knows-hono",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(http/|main.ts$)" },
      to: { path: "node_modules/(hono|@hono)/" },
    },
    {
      name: "only-db-knows-pg",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/db/" },
      to: { path: "node_modules/pg/" },
    },
    {
      name: "domain-does-no-io",
      severity: "error",
      from: { path: "^src/domain/" },
      to: { dependencyTypes: ["core"], pathNot: "^(node:)?crypto$" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      conditionNames: ["holdfast-source", "import", "node", "default"],
      exportsFields: ["exports"],
    },
  },
};
