// tsc compiles code only; the migrations are read as files next to the compiled runner.
import { cpSync } from "node:fs";

cpSync("src/db/migrations", "dist/src/db/migrations", { recursive: true });
