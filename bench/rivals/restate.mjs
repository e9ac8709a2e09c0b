// Five steps as a Restate workflow. Its server takes the requests itself and keeps its own log on disk.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { steps, stepText } from "./serve.mjs";

// Its SDK asks for it, and Node 20 has none.
Promise.withResolvers ??= function withResolvers() {
  let resolve;
  let reject;
  const promise = new this((...both) => {
    [resolve, reject] = both;
  });
  return { promise, resolve, reject };
};
const restate = await import("@restatedev/restate-sdk");

const upMillisMax = 30_000;
const lookMillis = 100;

const five = restate.service({
  name: "five",
  handlers: {
    async run(context) {
      const log = [];
      for (const n of steps) log.push(await context.run(`s${n}`, () => stepText(n)));
      return { log };
    },
  },
});
const servicePort = await restate.serve({ services: [five], port: 0 });

const folder = mkdtempSync(path.join(tmpdir(), "restate-"));
const { INGRESS_PORT: ingress, ADMIN_PORT: admin, NODE_PORT: node } = process.env;
const launcher = createRequire(import.meta.url).resolve("@restatedev/restate-server/package.json");
const child = spawn(process.execPath, [path.join(path.dirname(launcher), "lib/index.js"), "--no-logo"], {
  env: {
    ...process.env,
    RESTATE_BASE_DIR: folder,
    RESTATE_LISTEN_MODE: "tcp",
    RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
    RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
    RESTATE_BIND_ADDRESS: `127.0.0.1:${node}`,
    RESTATE_LOG_FILTER: "error",
  },
  stdio: ["ignore", "ignore", "inherit"],
});
process.on("exit", () => {
  child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

const deadline = performance.now() + upMillisMax;
for (;;) {
  const registered = await fetch(`http://127.0.0.1:${admin}/deployments`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ uri: `http://127.0.0.1:${servicePort}`, force: true }),
  }).catch(() => undefined);
  if (registered?.ok) break;
  if (performance.now() > deadline) throw new Error(`Restate was not up: ${await registered?.text()}`);
  await sleep(lookMillis);
}
process.stdout.write(`up http://127.0.0.1:${ingress}/five/run\n`);
