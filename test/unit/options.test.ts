import { describe, expect, it } from "vitest";
import { settingsOf } from "../../src/options.ts";

describe("the options of a server's command line", () => {
  it("are those of langgraph dev, long and short", () => {
    const long = [
      "--port",
      "3000",
      "--host=0.0.0.0",
      "--config",
      "app/langgraph.json",
      "--n-jobs-per-worker",
      "4",
    ];
    const settings = {
      PORT: "3000",
      HOST: "0.0.0.0",
      LANGGRAPH_JSON: "app/langgraph.json",
      WORKER_SLOTS: "4",
    };
    expect(settingsOf("dev", long)).toEqual(settings);
    expect(settingsOf("dev", ["-p3000", "-h", "0.0.0.0", "-c", "app", "-n", "4", "--no-browser"])).toEqual(
      settings,
    );
  });

  it("set nothing that is not said", () => {
    expect(settingsOf("dev", [])).toEqual({});
    expect(settingsOf("serve", ["--no-browser"])).toEqual({});
  });

  it.each([
    [["--tunnel"], "holdfast dev: Unknown option '--tunnel'. It takes --port, --host"],
    [["--studio-url", "x"], "holdfast dev: Unknown option '--studio-url'. It takes --port"],
    [["--port"], /holdfast dev: Option '-p, --port <value>' argument missing\. It takes/],
    [["3000"], /holdfast dev: Unexpected argument '3000'/],
  ])("are refused where they are wrong: %j", (args, message) => {
    expect(() => settingsOf("dev", args)).toThrow(message);
  });
});
