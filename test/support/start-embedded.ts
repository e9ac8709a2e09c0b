// A child process of the tests: starts the built-in Postgres, says where, and holds it until it is killed.
import { startEmbeddedPostgres } from "../../src/db/embedded.ts";

const [dataDir = ""] = process.argv.slice(2);
const { url, pid, how } = await startEmbeddedPostgres({ dataDir, log: { info: () => {} } });
process.stdout.write(`${JSON.stringify({ url, pid, how })}\n`);
setInterval(() => {}, 60_000);
