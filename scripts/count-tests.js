// The closing line of .ci/run: the tests of the JSON report, and one more for the checks before them.
import { readFileSync } from "node:fs";

const [report, checks] = process.argv.slice(2);
let counts = { numPassedTests: 0, numFailedTests: 1, numPendingTests: 0 };
try {
  counts = JSON.parse(readFileSync(report, "utf8"));
} catch {
  process.stderr.write(`no test report in ${report}\n`);
}
const failedChecks = Number(checks);
const passed = counts.numPassedTests + (1 - failedChecks);
const failed = counts.numFailedTests + failedChecks;
process.stdout.write(`${passed} passed, ${failed} failed, ${counts.numPendingTests} skipped\n`);
