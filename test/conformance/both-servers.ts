import { createTestDatabase } from "../support/database.ts";
import { startHoldfast } from "../support/holdfast-process.ts";
import { startDevServer } from "./dev-server.ts";
import { type Recording, record, type Scripts } from "./record.ts";

/** Runs the same scripts against the dev server and against ours, each on the same project. */
export async function recordBoth(
  project: string,
  scripts: Scripts,
  headers: Record<string, string> = {},
): Promise<{ dev: Recording; ours: Recording }> {
  const database = await createTestDatabase();
  const stops = [() => database.drop()];
  try {
    const devServer = await startDevServer(project);
    stops.unshift(() => devServer.stop());
    const settings = { DATABASE_URL: database.url, LANGGRAPH_JSON: project, HEARTBEAT_SECONDS: "60" };
    const holdfast = await startHoldfast(settings);
    stops.unshift(() => holdfast.end());
    const [dev, ours] = await Promise.all([
      record(devServer.url, scripts, headers),
      record(holdfast.url, scripts, headers),
    ]);
    return { dev, ours };
  } finally {
    for (const stop of stops) await stop();
  }
}
