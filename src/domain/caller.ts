// What the request that asked for a run adds to the run's configurable: graph code trusts these names.

/** Set by the server alone, from what the program's own auth said of the caller. */
const authKeys = ["langgraph_auth_user", "langgraph_auth_user_id", "langgraph_auth_permissions"] as const;

/** What a run finds about the user who asked for it. */
export const ofUser = (user: {
  identity: string;
  permissions: readonly string[];
}): Record<(typeof authKeys)[number], unknown> => ({
  langgraph_auth_user: user,
  langgraph_auth_user_id: user.identity,
  langgraph_auth_permissions: user.permissions,
});

/** The user that is kept in the config of another run, or of a cron. */
export function userIn(configurable: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  const told = authKeys.filter((key) => configurable[key] !== undefined);
  return Object.fromEntries(told.map((key) => [key, configurable[key]]));
}

/** Nothing that is kept for other runs may say who somebody is. */
export function withoutCaller(configurable: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const kept = { ...configurable };
  for (const key of authKeys) delete kept[key];
  return kept;
}

/** LangGraph shows a run's whole config in some of its events. */
export const isUserOfRun = (holder: Readonly<Record<string, unknown>>, key: string): boolean =>
  key === "langgraph_auth_user" && "langgraph_auth_user_id" in holder;

/** What may be shown: the user may hold tokens for the graph's own use. */
export function withoutUser<T extends object>(kwargs: T): T {
  const { config } = kwargs as { config?: { configurable?: Record<string, unknown> } | null };
  if (config?.configurable?.langgraph_auth_user === undefined) return kwargs;
  const { langgraph_auth_user: _user, ...configurable } = config.configurable;
  return { ...kwargs, config: { ...config, configurable } };
}
