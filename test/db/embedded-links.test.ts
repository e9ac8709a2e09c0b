import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { findBinaries, linkLibraries } from "../../src/db/embedded/binaries.ts";

describe("library links", () => {
  it("are made when install scripts were off, also twice", async () => {
    const native = path.join(mkdtempSync(path.join(os.tmpdir(), "holdfast-links-")), "native");
    mkdirSync(path.join(native, "lib"), { recursive: true });
    writeFileSync(path.join(native, "lib", "libicui18n.so.60.2"), "library");
    const links = [{ source: "native/lib/libicui18n.so.60.2", target: "native/lib/libicui18n.so.60" }];
    writeFileSync(path.join(native, "pg-symlinks.json"), JSON.stringify(links));
    linkLibraries(path.dirname(native));
    linkLibraries(path.dirname(native));
    expect(readFileSync(path.join(native, "lib", "libicui18n.so.60"), "utf8")).toBe("library");
    rmSync(path.dirname(native), { recursive: true });
  });

  it("are there for the installed package", () => {
    expect(findBinaries().major).toBe(18);
  });
});
