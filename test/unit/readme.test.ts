import { readFileSync } from "node:fs";
import path from "node:path";
import ts from "typescript";
import { expect, it } from "vitest";

const repository = path.resolve(import.meta.dirname, "../..");
const readme = readFileSync(path.join(repository, "README.md"), "utf8");

/** What the samples take from elsewhere: a package that is not installed here, and a module of the reader's own. */
const elsewhere: Record<string, string> = {
  "samples/anthropic.d.ts": `declare module "@langchain/anthropic" {
    export { ChatOpenAI as ChatAnthropic } from "@langchain/openai";
  }`,
  "samples/bank.ts": `export declare const bank: {
    transfer(order: { iban: string; cents: number; key: string }): Promise<{ refused: string | null; receipt: string }>;
    cancel(order: { receipt: string; key: string }): Promise<void>;
  };`,
};

/** The TypeScript of the README by file: as the line before it says, else one of its own. */
function samplesIn(text: string): Record<string, string> {
  const blocks = [...text.matchAll(/(?:`([\w./-]+\.ts)`:\n\n)?```ts\n([\s\S]*?)\n```/g)];
  return Object.fromEntries(
    blocks.map(([, file, code = ""], n) => [file ?? `samples/sample-${n + 1}.ts`, `${code}\nexport {};\n`]),
  );
}

/** Errors of these files, which need not be on the disk, by the rules that the repository's own sources follow. */
function errorsIn(files: Record<string, string>): string[] {
  const { config } = ts.readConfigFile(path.join(repository, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(
    { ...config, include: [], files: [] },
    ts.sys,
    repository,
  );
  const texts = new Map(Object.entries(files).map(([file, text]) => [path.join(repository, file), text]));
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  const folders = new Set([...texts.keys()].map((file) => path.dirname(file)));
  host.directoryExists = (folder) => folders.has(folder) || ts.sys.directoryExists(folder);
  host.fileExists = (file) => texts.has(file) || fileExists(file);
  host.readFile = (file) => texts.get(file) ?? readFile(file);
  host.getSourceFile = (file, version, ...rest) => {
    const text = texts.get(file);
    return text === undefined
      ? getSourceFile(file, version, ...rest)
      : ts.createSourceFile(file, text, version, true);
  };
  const program = ts.createProgram([...texts.keys()], options, host);
  return [...texts.keys()].flatMap((file) => {
    const source = program.getSourceFile(file);
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
      ({ messageText }) =>
        `${path.relative(repository, file)}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`,
    );
  });
}

/** Reading the types of all packages takes seconds, and a loaded machine takes its time. */
const timeout = 300_000;

it("the TypeScript of README.md compiles as it stands there", { timeout }, () => {
  const samples = samplesIn(readme);
  expect(Object.keys(samples)).toEqual(
    expect.arrayContaining(["validators/invoice.ts", "graphs/invoice-check/graph.ts"]),
  );
  expect(Object.keys(samples)).toHaveLength(readme.match(/^```ts$/gm)?.length ?? 0);
  const tool = Object.values(samples).find((text) => text.includes("keyLifetimeSeconds:")) ?? "";
  // One that must not compile, so that this test has teeth.
  const wrong = { "samples/wrong.ts": tool.replace("keyLifetimeSeconds:", "keyLifetime:") };
  expect(errorsIn({ ...elsewhere, ...samples, ...wrong })).toEqual([
    expect.stringMatching(/^samples\/wrong\.ts: [\s\S]*keyLifetime/),
  ]);
});
