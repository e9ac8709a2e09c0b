import { Auth, HTTPException } from "@langchain/langgraph-sdk/auth";

/** What a run needs to act for its user; it must be shown nowhere. */
export const secretOf = (identity: string): string => `secret-token-of-${identity}`;

const known = new Set(["alice", "bob", "carol", "reader", "nobody"]);

export const auth = new Auth()
  .authenticate((request) => {
    const identity = /^Bearer (\w+)$/.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
    if (!known.has(identity))
      throw new HTTPException(401, { message: "who are you?", headers: { "x-why": "no token" } });
    const permissions = [`role:${identity}`];
    return { identity, permissions, token: secretOf(identity) };
  })
  .on("*", ({ value, user }) => {
    const told = value as { metadata?: Record<string, unknown> };
    told.metadata = { ...told.metadata, owner: user.identity };
    return { owner: user.identity };
  })
  .on("threads:delete", ({ user }) => (user.identity === "reader" ? false : { owner: user.identity }))
  .on("threads:read", ({ user }) =>
    user.identity === "reader" ? { readers: { $contains: "reader" } } : { owner: { $eq: user.identity } },
  );
