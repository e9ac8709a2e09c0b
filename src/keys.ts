import type { Config } from "./config.ts";
import { migrate } from "./db/migrate.ts";
import { openDatabase } from "./db/pool.ts";
import { insertApiKey, listApiKeys, revokeApiKey } from "./db/queries/keys.ts";
import { newId } from "./domain/ids.ts";
import { makeApiKey } from "./http/auth.ts";
import type { Log } from "./observe/log.ts";
import { database } from "./serve.ts";

const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

/** `holdfast keys create NAME | list | revoke NAME`. A key is shown once; only its hash is kept. */
export async function manageKeys(config: Config, log: Log, [verb, name]: readonly string[]): Promise<void> {
  const stops: (() => Promise<void>)[] = [];
  const url = await database(config, log, stops);
  await migrate(url);
  const db = openDatabase({ url, connectionsMax: 1 });
  try {
    if (verb === "list") {
      for (const key of await listApiKeys(db, undefined)) {
        print(
          `${key.name}\t${key.prefix}…\tmade ${key.created_at.toISOString()}\t${key.revoked_at === null ? "active" : "revoked"}`,
        );
      }
    } else if (verb === "create" && name !== undefined) {
      const { key, prefix, hash } = makeApiKey();
      await insertApiKey(db, { keyId: newId(), tenant: "default", name, prefix, hash });
      print(key);
    } else if (verb === "revoke" && name !== undefined) {
      print(`revoked ${(await revokeApiKey(db, { name })).length} keys named ${name}`);
    } else {
      process.stderr.write("keys create NAME | keys list | keys revoke NAME\n");
      process.exitCode = 2;
    }
  } finally {
    await db.close();
    for (const end of stops) await end();
  }
}
