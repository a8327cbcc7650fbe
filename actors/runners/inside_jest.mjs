// Runs inside a sandbox as a reporter of jest: a signed report of what each test did.

import { place, record, write } from "./signing.mjs";

const OUTCOMES = { passed: "passed", failed: "failed" };

function recordsOf(suite) {
  const file = place(suite.testFilePath);
  const broken = suite.testExecError ?? (suite.failureMessage && !suite.testResults.length);
  const records = suite.testResults.map((test) =>
    record(
      `${file}::${[...test.ancestorTitles, test.title].join(" > ")}`,
      "call",
      OUTCOMES[test.status] ?? "skipped",
      test.failureMessages?.[0],
    ),
  );
  const why = suite.failureMessage?.replace(/^.*Test suite failed to run\s*/s, "");
  return broken ? [...records, record(file, "collect", "failed", why)] : records;
}

export default class Reporter {
  onRunComplete(_contexts, results) {
    write(results.testResults.flatMap(recordsOf));
  }
}
