import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

/** Where the system's packages put it, or where the environment says it is. */
const places = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

export const chromiumPath = places.find((place) => place !== undefined && existsSync(place));

export function startChromium(): Promise<Browser> {
  // Without its own sandbox: it does not start as root, and shows our own page alone.
  const args = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"];
  return chromium.launch({ executablePath: chromiumPath ?? "", args });
}
