import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findBinaries, linkLibraries } from "../../src/db/embedded/binaries.ts";

const nobody = 65_534;
let native: string;

beforeEach(() => {
  native = path.join(mkdtempSync(path.join(os.tmpdir(), "holdfast-links-")), "native");
  chmodSync(path.dirname(native), 0o755);
  mkdirSync(path.join(native, "lib"), { recursive: true });
  writeFileSync(path.join(native, "lib", "libicui18n.so.60.2"), "library");
  const links = [{ source: "native/lib/libicui18n.so.60.2", target: "native/lib/libicui18n.so.60" }];
  writeFileSync(path.join(native, "pg-symlinks.json"), JSON.stringify(links));
});

afterEach(() => rmSync(path.dirname(native), { recursive: true }));

function asNobody(act: () => void): void {
  process.seteuid?.(nobody);
  try {
    act();
  } finally {
    process.seteuid?.(0);
  }
}

describe("library links", () => {
  it("are made when install scripts were off, also twice", () => {
    linkLibraries(path.dirname(native));
    linkLibraries(path.dirname(native));
    expect(readFileSync(path.join(native, "lib", "libicui18n.so.60"), "utf8")).toBe("library");
  });

  it.skipIf(process.geteuid?.() !== 0)(
    "are asked for where the package is not writable, and only then",
    () => {
      asNobody(() =>
        expect(() => linkLibraries(path.dirname(native))).toThrow(/not writable.*npm rebuild.*DATABASE_URL/),
      );
      linkLibraries(path.dirname(native));
      asNobody(() => expect(() => linkLibraries(path.dirname(native))).not.toThrow());
    },
  );

  it("are there for the installed package", () => {
    expect(findBinaries().major).toBe(18);
  });
});
