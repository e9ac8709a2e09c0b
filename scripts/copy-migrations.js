// tsc compiles code only; the migrations are read as files next to the compiled runner. A migration that has got
// another number must not stay behind under its old one.
import { cpSync, rmSync } from "node:fs";

rmSync("dist/src/db/migrations", { recursive: true, force: true });
cpSync("src/db/migrations", "dist/src/db/migrations", { recursive: true });
