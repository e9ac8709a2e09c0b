import { print, withDatabase } from "./command.ts";
import type { Config } from "./config.ts";
import { insertApiKey, listApiKeys, revokeApiKey } from "./db/queries/keys.ts";
import { newId } from "./domain/ids.ts";
import { makeApiKey } from "./http/auth.ts";
import type { Log } from "./observe/log.ts";

/** `holdfast keys create NAME | list | revoke NAME`. A key is shown once; only its hash is kept. */
export async function manageKeys(config: Config, log: Log, [verb, name]: readonly string[]): Promise<void> {
  await withDatabase({ config, log }, async (db) => {
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
  });
}
