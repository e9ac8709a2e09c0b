// The effect sink's own process: options as JSON in its argument, its address on stdout. It ends with its parent.
import { type SinkOptions, serveEffects } from "./effect-sink-server.ts";

const { url } = await serveEffects(JSON.parse(process.argv[2] ?? "{}") as SinkOptions);
process.stdout.write(`${url}\n`);
process.stdin.resume().once("end", () => process.exit());
