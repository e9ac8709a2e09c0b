import { query } from "../query.ts";

export interface ApiKeyRow {
  key_id: string;
  tenant: string;
  name: string;
  prefix: string;
  hash: Buffer;
  created_at: Date;
  revoked_at: Date | null;
}
const asKey = (raw: Record<string, unknown>): ApiKeyRow => raw as unknown as ApiKeyRow;

export const insertApiKey = query({
  name: "api_key.insert",
  text: `insert into holdfast.api_keys (key_id, tenant, name, prefix, hash) values ($1, $2, $3, $4, $5) returning *`,
  values: (p: { keyId: string; tenant: string; name: string; prefix: string; hash: Buffer }) => [
    p.keyId,
    p.tenant,
    p.name,
    p.prefix,
    p.hash,
  ],
  row: asKey,
});

export const listApiKeys = query({
  name: "api_key.list",
  text: "select * from holdfast.api_keys order by created_at",
  values: () => [],
  row: asKey,
});

export const revokeApiKey = query({
  name: "api_key.revoke",
  text: `update holdfast.api_keys set revoked_at = holdfast.now() where name = $1 and revoked_at is null returning *`,
  values: (p: { name: string }) => [p.name],
  row: asKey,
});

/** Keys by the readable part of the one presented; the hash is compared by the caller, in constant time. */
export const findApiKeys = query({
  name: "api_key.find",
  text: "select * from holdfast.api_keys where prefix = $1 and revoked_at is null",
  values: (p: { prefix: string }) => [p.prefix],
  row: asKey,
});

export const anyApiKey = query({
  name: "api_key.any",
  text: "select exists (select 1 from holdfast.api_keys where revoked_at is null) as any",
  values: () => [],
  row: (raw) => raw.any as boolean,
});

/** Other processes of ours on this database: the built-in server is stopped by the last one. */
export const otherSessions = query({
  name: "session.others",
  text: `select count(*) as n from pg_stat_activity
          where datname = current_database() and application_name like 'holdfast%' and pid <> pg_backend_pid()`,
  values: () => [],
  row: (raw) => raw.n as number,
});

export const threadKeySecret = query({
  name: "thread_key.secret",
  text: "select secret from holdfast.thread_key_secret",
  values: () => [],
  row: (raw) => raw.secret as string,
});
